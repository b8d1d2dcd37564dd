//go:build unix

package dockerd

import (
	"io/fs"
	"syscall"
)

// groupOf is the group that a file belongs to.
func groupOf(info fs.FileInfo) (gid uint32, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return stat.Gid, true
}

// isDeleted tells a file that has no name any more: it is only still mounted, and
// what has its name now is another one.
func isDeleted(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}
