package dockerd

import (
	"slices"
	"strings"
	"testing"
)

func TestSelfCandidates(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	mounts := func(id string) string {
		return "600 590 0:52 / / ro,relatime - overlay overlay rw,upperdir=/var/lib/docker/overlay2/" + b + "/diff\n" +
			"612 600 8:1 /var/lib/docker/containers/" + id + "/resolv.conf /etc/resolv.conf rw - ext4 /dev/sda1 rw\n" +
			"613 600 8:1 /var/lib/docker/containers/" + id + "/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
	}
	for name, c := range map[string]struct {
		hostname, mounts, cgroup string
		want                     []string
	}{
		"outside Docker":       {"server", "25 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/user.slice/session-1.scope\n", nil},
		"private cgroup":       {a[:12], mounts(a), "0::/\n", []string{a}},
		"own host name":        {"proxy", mounts(a), "0::/\n", []string{a}},
		"cgroup v1":            {a[:12], "", "12:pids:/docker/" + a + "\n11:cpu:/docker/" + a + "\n", []string{a}},
		"systemd":              {"x", "", "0::/system.slice/docker-" + a + ".scope\n", []string{a}},
		"Podman":               {"x", "", "0::/machine.slice/libpod-" + a + ".scope/container\n", []string{a}},
		"only a host name":     {a[:12], "", "", []string{a[:12]}},
		"Docker in Docker":     {a[:12], "", "0::/docker/" + b + "/docker/" + a + "\n", []string{a, b}},
		"another's network":    {b[:12], mounts(b), "1:pids:/docker/" + a + "\n", []string{a, b}},
		"a name like an ID":    {"deadbeef", "", "", nil},
		"a host name too long": {strings.Repeat("a", 13), "", "", nil},
	} {
		if got := selfCandidates(c.hostname, c.mounts, c.cgroup); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
