package lsp

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// What of a message is read at most.
const (
	mostHeader = 8 << 10
	mostBody   = 256 << 20
)

// framed passes on the messages of a stream that are messages of JSON-RPC. Others are left
// out: the connection would end with the first of them, and with it all that is not saved.
func framed(in io.Reader) io.Reader {
	r, w := io.Pipe()
	go func() {
		from := bufio.NewReader(in)
		for {
			body, err := frame(from)
			if err == nil && isMessage(body) {
				_, err = fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(body), body)
			}
			if err != nil {
				w.CloseWithError(err)
				return
			}
		}
	}()
	return r
}

// frame reads the next message.
func frame(from *bufio.Reader) ([]byte, error) {
	length, header := -1, 0
	for {
		line, err := from.ReadSlice('\n')
		if err == io.EOF && len(line) == 0 && header == 0 {
			return nil, io.EOF
		} else if err != nil {
			return nil, fmt.Errorf("the header of a message cannot be read: %w", err)
		}
		if header += len(line); header > mostHeader {
			return nil, fmt.Errorf("the header of a message has more than %d bytes", mostHeader)
		}
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		if name == "" && length >= 0 {
			break
		}
		if strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 || length > mostBody {
				return nil, fmt.Errorf("%q is not the length of a message", strings.TrimSpace(value))
			}
		}
	}
	body := make([]byte, length)
	_, err := io.ReadFull(from, body)
	return body, err
}

// isMessage reports whether a text is a message, or a list of messages.
func isMessage(body []byte) bool {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		return isOne(body)
	}
	var list []json.RawMessage
	return json.Unmarshal(body, &list) == nil && len(list) > 0 && !slices.ContainsFunc(list, func(m json.RawMessage) bool { return !isOne(m) })
}

// isOne reports whether a text is a single message.
func isOne(body []byte) bool {
	var m struct {
		Version string          `json:"jsonrpc"`
		Method  *string         `json:"method"`
		ID      json.RawMessage `json:"id"`
		Result  json.RawMessage `json:"result"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &m) != nil || m.Version != "2.0" {
		return false
	}
	var number int64
	var text string
	id := json.Unmarshal(m.ID, &number) == nil || json.Unmarshal(m.ID, &text) == nil
	if m.Method != nil {
		return len(m.ID) == 0 || id && string(m.ID) != "null"
	}
	return id && (m.Result != nil || m.Error != nil)
}
