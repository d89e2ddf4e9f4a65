// Package lsp speaks the Language Server Protocol for package editor, which knows the
// answers.
//
//	server.go    the connection, and what the server can do
//	documents.go the texts that are open, and their edits
//	text.go      bytes and the protocol's positions
//	policies.go  the policies that the open texts belong to
//	publish.go   mistakes and findings, as soon as they are known
//	requests.go  one method for each request
//	convert.go   answers in the protocol's types
//
// Notifications are handled in the order in which they come, so a request sees every edit
// before it. A request itself runs beside what follows it.
package lsp
