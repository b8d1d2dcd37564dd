package dockerd

import (
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// parseStatus reads the exit code and the health from the text that the
// Engine's list has for people: "Exited (137) 3 minutes ago", "Restarting (1)
// 2 seconds ago", "Up 3 minutes (unhealthy)", "Up 1 second (health: starting)",
// "Up 2 hours (Paused)".
func parseStatus(text string) (exit int, health api.Health) {
	before, rest, ok := strings.Cut(text, "(")
	if !ok {
		return 0, api.NoHealthcheck
	}
	inside, _, ok := strings.Cut(rest, ")")
	if !ok {
		return 0, api.NoHealthcheck
	}
	switch strings.TrimSpace(before) {
	case "Exited", "Restarting":
		if n, err := strconv.ParseInt(inside, 10, 32); err == nil {
			return int(n), api.NoHealthcheck
		}
		return 0, api.NoHealthcheck
	}
	return 0, healthOf(strings.TrimPrefix(inside, "health: "))
}
