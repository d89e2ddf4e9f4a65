//go:build !linux

package host

import "errors"

// DefaultInterfaces is for Linux alone.
func DefaultInterfaces() ([]string, error) { return nil, errors.ErrUnsupported }
