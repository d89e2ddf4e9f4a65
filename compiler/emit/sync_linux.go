package emit

import (
	"github.com/google/renameio/v2"
	"golang.org/x/sys/unix"
)

// onDisk makes sure that files are on the disk. Of many, one call for the whole file system
// is faster than one for each; renameio asks again for each, which then costs little.
func onDisk(files []pending) error {
	const many = 8
	if len(files) >= many {
		if p, ok := files[0].(*renameio.PendingFile); ok {
			return unix.Syncfs(int(p.Fd()))
		}
	}
	return syncEach(files)
}
