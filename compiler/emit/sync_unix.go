//go:build unix && !linux

package emit

func onDisk(files []pending) error { return syncEach(files) }
