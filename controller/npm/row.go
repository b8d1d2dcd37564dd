package npm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// Keys of a row's meta. NPM itself adds the first two at every write.
const (
	metaOnline = "nginx_online"
	metaErr    = "nginx_err"
	metaOurs   = "no502"
)

// row is a proxy host as NPM's API shows it: the fields that no502 reads.
type row struct {
	ID       flexInt         `json:"id"`
	Domains  flexStrings     `json:"domain_names"`
	Scheme   flexString      `json:"forward_scheme"`
	Host     flexString      `json:"forward_host"`
	Port     flexInt         `json:"forward_port"`
	Enabled  *flexBool       `json:"enabled"`
	Advanced flexString      `json:"advanced_config"`
	Meta     json.RawMessage `json:"meta"`
}

// decodeRow reads a row leniently: forks and old databases hold booleans as
// 0 and 1, and ports as strings. A row without an id is an error.
func decodeRow(raw []byte) (*api.ProxyHost, error) {
	var r row
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("a proxy host's row: %w", err)
	}
	if r.ID <= 0 {
		return nil, errors.New("a proxy host's row has no id")
	}
	h := &api.ProxyHost{
		ID:       int(r.ID),
		Domains:  r.Domains,
		Forward:  api.Endpoint{Scheme: string(r.Scheme), Host: string(r.Host)},
		Enabled:  r.Enabled == nil || bool(*r.Enabled),
		Advanced: string(r.Advanced),
	}
	if r.Port > 0 && r.Port <= 65535 {
		h.Forward.Port = uint16(r.Port)
	}
	readMeta(h, r.Meta)
	return h, nil
}

// readMeta fills in what a row's meta says. Nothing in it is an error:
// anybody may write there.
func readMeta(h *api.ProxyHost, raw json.RawMessage) {
	meta := metaKeys(raw)
	if meta == nil {
		return
	}
	h.Meta = raw
	var online *flexBool
	if json.Unmarshal(meta[metaOnline], &online) == nil && online != nil {
		h.Online = (*bool)(online)
	}
	var text flexString
	if json.Unmarshal(meta[metaErr], &text) == nil {
		h.NginxErr = string(text)
	}
	var ours api.Ownership
	if json.Unmarshal(meta[metaOurs], &ours) == nil && (ours.Backend != "" || ours.Instance != "") {
		h.Ownership = &ours
	}
}

// metaKeys are the top level of a meta; nil unless it is an object.
func metaKeys(raw json.RawMessage) map[string]json.RawMessage {
	var keys map[string]json.RawMessage
	if json.Unmarshal(raw, &keys) != nil {
		return nil
	}
	return keys
}

// metaToSend is a host's meta without what NPM adds by itself: a write
// replaces the meta whole, so all the rest must go back.
func metaToSend(h *api.ProxyHost) map[string]json.RawMessage {
	keys := metaKeys(h.Meta)
	if keys == nil {
		keys = map[string]json.RawMessage{}
	}
	delete(keys, metaOnline)
	delete(keys, metaErr)
	return keys
}

// digest identifies a text.
type digest [sha256.Size]byte

// canonical identifies what a row says: whatever the order of its keys, and
// apart from modified_on, which every write moves, by a second or two even
// after NPM answered, and from what answers to a PUT add to the row.
func canonical(raw []byte) (digest, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return digest{}, err
	}
	for _, volatile := range []string{"modified_on", "owner", "certificate", "access_list"} {
		delete(fields, volatile)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return digest{}, err
	}
	return sha256.Sum256(text), nil
}

// unquoted is the text of a JSON scalar: a string's content, a number or a
// boolean as written, nothing for null. Objects and arrays are no scalars.
func unquoted(raw []byte) (string, bool) {
	switch {
	case len(raw) == 0, raw[0] == '{', raw[0] == '[':
		return "", false
	case string(raw) == "null":
		return "", true
	case raw[0] == '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err == nil
	}
	return string(raw), true
}

// flexString is a string, or what can be read as one.
type flexString string

func (f *flexString) UnmarshalJSON(raw []byte) error {
	s, _ := unquoted(raw)
	*f = flexString(s)
	return nil
}

// flexInt is a whole number, as a number or a string; else 0.
type flexInt int

func (f *flexInt) UnmarshalJSON(raw []byte) error {
	*f = 0
	if s, ok := unquoted(raw); ok {
		if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
			*f = flexInt(n)
		}
	}
	return nil
}

// flexBool is true, 1, or one of these as a string; else false.
type flexBool bool

func (f *flexBool) UnmarshalJSON(raw []byte) error {
	s, _ := unquoted(raw)
	*f = s == "true" || s == "1"
	return nil
}

// flexStrings is an array of strings, as such or as JSON within a string.
type flexStrings []string

func (f *flexStrings) UnmarshalJSON(raw []byte) error {
	*f = nil
	if s, ok := unquoted(raw); ok {
		if s == "" {
			return nil
		}
		if raw = []byte(s); !json.Valid(raw) || raw[0] != '[' {
			*f = flexStrings{s}
			return nil
		}
	}
	var all []flexString
	if json.Unmarshal(raw, &all) != nil {
		return nil
	}
	for _, s := range all {
		if s != "" {
			*f = append(*f, string(s))
		}
	}
	return nil
}
