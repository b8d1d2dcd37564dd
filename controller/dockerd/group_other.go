//go:build !unix

package dockerd

import "io/fs"

func groupOf(fs.FileInfo) (gid uint32, ok bool) { return 0, false }

func isDeleted(fs.FileInfo) bool { return false }
