//go:build !linux

package host

import "errors"

// DefaultInterfaces only works on Linux.
func DefaultInterfaces() ([]string, error) { return nil, errors.ErrUnsupported }
