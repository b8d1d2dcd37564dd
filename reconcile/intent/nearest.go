package intent

// nearest is the known label that takes the fewest edits.
func nearest(name string) string {
	best, cost := "", -1
	for _, f := range fields {
		if d := distance(name, f.name); cost < 0 || d < cost {
			best, cost = f.name, d
		}
	}
	return best
}

// distance is Levenshtein's, over bytes; a long name counts as far away.
func distance(a, b string) int {
	const limit = 64
	if len(a) > limit {
		a = a[:limit]
	}
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
