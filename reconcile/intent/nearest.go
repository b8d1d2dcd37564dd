package intent

import "strings"

// nearest is the known label that takes the fewest edits, under the route and
// location of the unknown one.
func nearest(name string) string {
	const far = 200 // nobody misspells a label of this length
	name = strings.ToLower(name[:min(len(name), far)])
	if _, known := locate(name); known {
		return name
	}
	best, cost := closest(name, true)
	if route, rest, ok := strings.Cut(name, "."); ok && isName(route) && !reserved[route] {
		if _, known := byName[rest]; known {
			return rest // it is said once for the whole container
		}
		if near, d := closest(rest, false); d < cost {
			return route + "." + near
		}
	}
	return best
}

// closest is the field that takes the fewest edits, and how many.
func closest(name string, whole bool) (best string, cost int) {
	cost = -1
	try := func(spelt, meant string) {
		if d := distance(name, spelt); cost < 0 || d < cost {
			best, cost = meant, d
		}
	}
	location := "<n>"
	if parts := strings.Split(name, "."); len(parts) > 1 && isName(parts[1]) {
		location = parts[1]
	}
	for i := range fields {
		f := &fields[i]
		if f.kinds == 0 && !whole {
			continue
		}
		meant := strings.Replace(f.name, "<n>", location, 1)
		try(meant, meant)
		for _, spelt := range f.also {
			try(spelt, meant)
		}
	}
	return best, cost
}

// distance is Levenshtein's, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
