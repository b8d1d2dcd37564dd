package dialect

import (
	"cmp"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	caddyLabel = regexp.MustCompile(`^caddy(_\d+)?(\.|$)`)
	// caddySegment is an order, a name, and a number that keeps equal names apart.
	caddySegment = regexp.MustCompile(`^(?:(\d+)_)?(.+?)(?:_(\d+))?$`)
)

// maxCaddyLabel bounds the work that nesting takes; who writes labels may be
// hostile.
const maxCaddyLabel = 1024

// caddyBlock is a directive of a Caddyfile, as labels spell it.
type caddyBlock struct {
	label    string // the first that speaks of it
	name     string
	order    int
	args     []string
	children []*caddyBlock // in the Caddyfile's order
}

// caddySites reads the labels into blocks. Dots nest, `\.` is a dot.
func (r *reading) caddySites() []*caddyBlock {
	root := map[string]*caddyBlock{}
	at := map[string]*caddyBlock{} // by the labels' text up to there
	for _, key := range r.keys() {
		if !caddyLabel.MatchString(key) || len(key) > maxCaddyLabel {
			continue
		}
		value := r.label(key)
		path, parent := "", (*caddyBlock)(nil)
		for segment := range strings.SplitSeq(strings.ReplaceAll(key, `\.`, "\x00"), ".") {
			path += "." + segment
			block := at[path]
			if block == nil {
				block = newCaddyBlock(key, segment)
				at[path] = block
				if parent == nil {
					root[segment] = block
				} else {
					parent.children = append(parent.children, block)
				}
			}
			parent = block
		}
		parent.args = caddyTokens(value)
	}
	for _, block := range at {
		slices.SortStableFunc(block.children, func(a, b *caddyBlock) int {
			return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name), cmp.Compare(a.label, b.label))
		})
	}
	var sites []*caddyBlock
	for _, id := range slices.Sorted(maps.Keys(root)) {
		sites = append(sites, root[id])
	}
	return sites
}

func newCaddyBlock(label, segment string) *caddyBlock {
	b := &caddyBlock{label: label, name: strings.ReplaceAll(segment, "\x00", "."), order: math.MaxInt}
	if m := caddySegment.FindStringSubmatch(b.name); m != nil {
		b.name = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			b.order = n
		}
	}
	return b
}

// caddyTokens splits a value at white space, but neither within quotation marks
// nor within a template.
func caddyTokens(v string) []string {
	var tokens []string
	for v = strings.TrimSpace(v); v != ""; v = strings.TrimSpace(v) {
		if q := v[0]; q == '"' || q == '`' {
			if end := strings.IndexByte(v[1:], q); end >= 0 {
				tokens = append(tokens, v[1:end+1])
				v = v[end+2:]
				continue
			}
		}
		end := strings.IndexAny(v, " \t\r\n")
		if end < 0 {
			end = len(v)
		}
		if open := strings.Index(v[:end], "{{"); open >= 0 {
			if shut := strings.Index(v, "}}"); shut >= 0 {
				end = max(end, shut+2)
			}
		}
		tokens = append(tokens, v[:end])
		v = v[end:]
	}
	return tokens
}
