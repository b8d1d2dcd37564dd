package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/no502/no502/controller/report"
)

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
			e := json.NewEncoder(report.Plain(cmd.OutOrStdout()))
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
