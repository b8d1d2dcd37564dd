package dockerd

import (
	"os"
	"regexp"
	"slices"
	"strings"
)

var (
	// Docker mounts these three files from the container's own directory.
	mountedFrom = regexp.MustCompile(`/containers/([0-9a-f]{64})/(?:hostname|hosts|resolv\.conf) `)
	// "/docker/<id>", "/system.slice/docker-<id>.scope", "libpod-<id>.scope"
	cgroupOf = regexp.MustCompile(`(?:^|[/-])([0-9a-f]{64})(?:\.scope)?(?:$|/|\n)`)
	shortID  = regexp.MustCompile(`^[0-9a-f]{12}$`)
)

// SelfHints are the IDs, best first, of which one may be the container that
// this process runs in. None outside Docker.
func SelfHints() []string {
	hostname, _ := os.Hostname()                     // what cannot be read
	mounts, _ := os.ReadFile("/proc/self/mountinfo") // gives no hint
	cgroup, _ := os.ReadFile("/proc/self/cgroup")
	return selfCandidates(hostname, string(mounts), string(cgroup))
}

// selfCandidates are the IDs that this container may have, best first. A
// control group is a container's own; host name and mounted files are another
// container's under "network_mode: container:…". With private control groups
// (version 2) only these tell, and without Docker none do.
func selfCandidates(hostname, mountinfo, cgroup string) []string {
	var all []string
	add := func(id string) {
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	// In a container within a container the innermost comes last.
	found := cgroupOf.FindAllStringSubmatch(cgroup, -1)
	for _, m := range slices.Backward(found) {
		add(m[1])
	}
	for _, m := range mountedFrom.FindAllStringSubmatch(mountinfo, -1) {
		add(m[1])
	}
	if shortID.MatchString(hostname) && !slices.ContainsFunc(all, func(id string) bool { return strings.HasPrefix(id, hostname) }) {
		add(hostname)
	}
	return all
}
