package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/no502/no502/api"
	"github.com/no502/no502/controller/report"
)

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
		done, what := did(e)
		first := e.Time.UTC().Format(time.DateTime) + "Z  " + who(e) + " " + done
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

// printable keeps what somebody typed in NPM from steering a terminal; unlike
// report.Plain, from beginning a line as well.
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
func did(e report.Entry) (done, what string) {
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
