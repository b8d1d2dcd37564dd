package intent

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/no502/no502/api"
)

// maxFindings bounds what one container's labels, which may be hostile, can
// make no502 say.
const maxFindings = 50

// find notes a finding.
func (r *reader) find(code api.Code, message, fix string, candidates ...string) {
	if len(r.in.Findings) >= maxFindings {
		r.left++
		return
	}
	r.in.Findings = append(r.in.Findings, api.Finding{Code: code, Message: message, Fix: fix, Candidates: candidates})
}

func (r *reader) invalid(l label, f *field, err error) {
	message := fmt.Sprintf("the label %s has the value %s, which is not allowed", r.said(l), quote(l.value))
	if !errors.Is(err, errValue) {
		message += ": " + err.Error()
	}
	r.find(api.InvalidLabel, message, "use "+f.values)
	r.in.Unclear = true
}

// unknown reports a label that there is not. It may be meant to keep visitors
// out: then the host is not to be published without it.
func (r *reader) unknown(l label) (withheld bool) {
	r.in.Unclear = true
	message := fmt.Sprintf("the label %s is not one that no502 knows", quote(r.key("", l.name)))
	if len(r.in.Findings) >= maxFindings {
		r.left++ // without looking for what was meant, which takes a while
		return true
	}
	near := r.key("", nearest(l.name))
	fix := fmt.Sprintf("did you mean %s?", near)
	if withheld = strings.HasSuffix(near, ".access-list") || strings.HasSuffix(near, "."+SnippetLabel); withheld {
		fix += " Until it is mended, no host is made that it may be meant to protect."
	}
	r.find(api.UnknownLabel, message, fix, near)
	return withheld
}

// rest tells of the findings that there was no room for.
func (r *reader) rest() {
	if r.left > 0 {
		r.in.Findings = append(r.in.Findings, api.Finding{
			Code:    api.InvalidLabel,
			Message: fmt.Sprintf("%d more things are wrong with this container's labels", r.left),
			Fix:     "mend those that are listed first",
		})
	}
}

// said is a label as a person knows it.
func (r *reader) said(l label) string {
	key := r.key("", l.name)
	if l.foreign {
		key += " (as another tool's label is read)"
	}
	return key
}

// key is the label for a field of a route.
func (r *reader) key(route, field string) string {
	if route != "" {
		field = route + "." + field
	}
	return r.p.Prefix + "." + field
}

// quote bounds and escapes what comes from a label, which may be hostile.
func quote(s string) string {
	const limit = 80
	if len(s) > limit {
		cut := limit
		for cut > limit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strconv.QuoteToGraphic(s)
}
