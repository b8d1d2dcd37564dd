package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/report"
)

// stateMount is the state directory, if it is there, unless another one is set.
const stateMount = "/state"

// state is the state directory; empty: there is none.
func (s *settings) state() string {
	if s.stateDir != "" {
		return s.stateDir
	}
	if info, err := os.Stat(stateMount); err != nil || !info.IsDir() {
		return ""
	}
	return stateMount
}

func historyCommand() *cobra.Command {
	var since string
	var limit int
	var asJSON bool
	cmd := command(&cobra.Command{
		Use:   "history [DOMAIN]",
		Short: "Show who changed what, when, from what, to what",
		Long: `history shows the journal: what no502 changed in NPM and in Docker, and why; what
others changed in the hosts that it looks after; what nginx refused. The newest
is last. With a domain, or a container's name, it shows what concerns that.

It asks the no502 that runs here, and where none does reads the journal in the
state directory. Without a state directory the journal begins when no502 does.`,
		Args: cobra.MaximumNArgs(1),
	}, func(cmd *cobra.Command, s settings) error {
		f := report.Filter{Name: cmd.Flags().Arg(0), Limit: limit}
		if limit < 1 {
			return fmt.Errorf("--limit is %d: one is the least", limit)
		}
		var err error
		if f.Since, err = sinceOf(since, time.Now()); err != nil {
			return err
		}
		entries, err := history(cmd.Context(), s, machine(), f)
		if err != nil {
			return err
		}
		if asJSON {
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetIndent("", "  ")
			return e.Encode(entries)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), historyText(entries, f))
		return err
	})
	cmd.Flags().StringVar(&since, "since", "", "only what is not older: 90m, 24h, 2026-01-31, or a time as RFC 3339 has it")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many of the last changes are shown")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// sinceOf reads --since; an empty one is the beginning.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %q is neither a duration such as 24h nor a time such as 2026-01-31 or 2026-01-31T12:00:00Z", text)
}

// history asks a running no502, else reads the file.
func history(ctx context.Context, s settings, at place, f report.Filter) ([]report.Entry, error) {
	entries, err := askHistory(ctx, s, at, f)
	var nobody noAnswer
	if err == nil || !errors.As(err, &nobody) {
		return entries, err
	}
	dir := s.state()
	if dir == "" {
		return nil, fmt.Errorf("%w, and there is no state directory %s with a journal: run this where no502 runs, as in `docker compose exec no502 /no502 history`", nobody, stateMount)
	}
	return report.ReadJournal(dir, f)
}

// noAnswer: nobody answers on the status port.
type noAnswer struct{ error }

func askHistory(ctx context.Context, s settings, at place, f report.Filter) (entries []report.Entry, err error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: at.dial, DisableKeepAlives: true}}
	url := fmt.Sprintf("http://127.0.0.1:%d/api/v1/history?%s", s.statusPort(), f.Query().Encode())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, noAnswer{fmt.Errorf("no502 does not answer on port %d", s.statusPort())}
	}
	defer answer.Body.Close()
	body := io.LimitReader(answer.Body, 16<<20)
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(body, 300))
		return nil, fmt.Errorf("the no502 that runs here answers %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(body).Decode(&entries); err != nil {
		return nil, fmt.Errorf("what answers on port %d is not no502's journal: %w", s.statusPort(), err)
	}
	return entries, nil
}

// undoing is what undo did to a host, as a running no502 sees it too.
func undoing(h *api.Host, to api.Fields) []api.Change {
	c := api.Change{By: api.Undo, Instance: h.Ownership.Instance, Domains: h.Serves(), Action: api.Action{
		Op: api.OpPatch, Host: h.Key(), Domain: h.Domain(), From: to.Of(h.Fields()), To: to,
	}}
	changes := []api.Change{c}
	if switchesOn(h) {
		c.Op, c.From, c.To = api.OpEnable, nil, nil
		changes = append(changes, c)
	}
	return changes
}

// textWidth of a terminal, which many a pipe is cut to as well.
const textWidth = 80

// historyText is the journal as people read it.
func historyText(entries []report.Entry, f report.Filter) string {
	var out strings.Builder
	line := func(text string) {
		runes := []rune(strings.Map(printable, text))
		for len(runes) > textWidth {
			out.WriteString(string(runes[:textWidth]) + "\n")
			runes = append([]rune("        "), runes[textWidth:]...)
		}
		out.WriteString(string(runes) + "\n")
	}
	switch {
	case len(entries) > 0:
	case f.Name != "":
		line("No change of " + f.Name + " is recorded.")
	default:
		line("No change is recorded.")
	}
	for _, e := range entries {
		did, what := did(e)
		first := e.Time.UTC().Format(time.DateTime) + "Z  " + who(e) + " " + did
		if utf8.RuneCountInString(first+" "+what) <= textWidth {
			line(first + " " + what)
		} else {
			line(first)
			line("    " + what)
		}
		names := slices.AppendSeq(slices.Collect(maps.Keys(e.From)), maps.Keys(e.To))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			for _, text := range became(e.From[name], e.To[name], textWidth-6-len(name)) {
				line(fmt.Sprintf("    %s  %s", name, text))
				name = strings.Repeat(" ", len(name))
			}
		}
		if len(e.Because) > 0 {
			line("    because  " + joined(e.Because))
		}
		lead := "but"
		for part := range wrapped(e.Error, textWidth-14) {
			line(fmt.Sprintf("    %-7s  %s", lead, part))
			lead = ""
		}
	}
	return out.String()
}

// printable keeps what somebody typed in NPM from steering a terminal.
func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

// became says what a field was and is, in one line where that fits.
func became(from, to string, width int) []string {
	both := from + " → " + to
	switch {
	case to == "":
		return []string{"was " + from}
	case from == "":
		return []string{to}
	case utf8.RuneCountInString(both) > width:
		return []string{from, "→ " + to}
	}
	return []string{both}
}

func joined(codes []api.Code) string {
	texts := make([]string, len(codes))
	for i, c := range codes {
		texts[i] = string(c)
	}
	return strings.Join(texts, ", ")
}

// who did it, in words.
func who(e report.Entry) string {
	switch e.Who {
	case api.Somebody:
		return "somebody in NPM"
	case api.Undo:
		return "no502 undo"
	}
	if e.Instance != "" && e.Instance != "no502" {
		return "no502 (" + e.Instance + ")"
	}
	return "no502"
}

// did is what was done, in words, and to what.
func did(e report.Entry) (did, what string) {
	kind, _, _ := strings.Cut(e.Host, "/")
	host := api.Kind(kind).Words() + " " + e.Domain
	switch e.Op {
	case api.OpCreateNetwork:
		return "made the network", e.Network
	case api.OpAttach:
		return "attached " + e.Container + " to the network", e.Network
	case api.OpCreate:
		return "made the", host
	case api.OpDelete:
		return "deleted the", host
	case api.OpEnable:
		return "switched on the", host
	case api.OpDisable:
		return "switched off the", host
	case api.OpResave:
		return "saved again the", host
	case api.OpCertificate:
		return "asked for a certificate for the", host
	case api.OpPatch:
		if len(e.To) == 0 {
			return "noted whose it is in the", host
		}
	}
	return "changed the", host
}
