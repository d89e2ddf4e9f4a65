//go:build !unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup does nothing: there are no process groups here.
func ownGroup(*exec.Cmd) {}

// signalGroup ends the process: there are no signals here.
func signalGroup(p *os.Process, _ syscall.Signal) error { return p.Kill() }
