package probe

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/no502/no502/api"
)

// errorLogLimit is how much of what nginx wrote meanwhile is read.
const errorLogLimit = 16 << 10

// errorLog is nginx's error log of one proxy host, from the end that it had on.
type errorLog struct {
	file string // empty: there is none
	from int64
}

// openErrorLog finds a host's log in NPM's data directory.
func openErrorLog(data string, host api.Key) errorLog {
	id, ok := host.HostID()
	if data == "" || !ok {
		return errorLog{}
	}
	l := errorLog{file: filepath.Join(data, "logs", fmt.Sprintf("proxy-host-%d_error.log", id))}
	if info, err := os.Stat(l.file); err == nil {
		l.from = info.Size()
	}
	return l
}

// news is the last thing that was written about a domain since, as far as it
// says why; empty where nothing was, or the log cannot be read.
func (l errorLog) news(domain string) (last string) {
	if l.file == "" {
		return ""
	}
	f, err := os.Open(l.file)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, l.from, errorLogLimit))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, `host: "`+domain+`"`) {
			last = reason(line)
		}
	}
	return last
}

// reason is what an error line of nginx says, without its date, process and
// connection ("2026/11/22 22:24:54 [error] 61#61: *7 …") and without the request,
// which may be any visitor's, with a token of theirs in its address.
func reason(line string) string {
	if _, after, ok := strings.Cut(line, ": *"); ok {
		_, line, _ = strings.Cut(after, " ")
	}
	said, request, _ := strings.Cut(strings.TrimSpace(line), ", client: ")
	if _, upstream, ok := strings.Cut(request, `upstream: "`); ok {
		scheme, rest, _ := strings.Cut(upstream, "://")
		at, _, _ := strings.Cut(rest, "/")
		said += " " + scheme + "://" + at
	}
	return said
}
