package npm

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/no502/no502/api"
)

// Keys of a row's meta. NPM itself adds the first two at every write.
const (
	metaOnline = "nginx_online"
	metaErr    = "nginx_err"
	metaOurs   = "no502"
	// unreadable stands for an instance of which nothing can be read.
	unreadable = "unreadable"
)

// row is a host as NPM's API shows it: the fields that no502 reads.
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

// rowID is the id of a row. A row without one is an error.
func rowID(raw []byte) (int, error) {
	var r struct {
		ID flexInt `json:"id"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return 0, err
	}
	if r.ID <= 0 {
		return 0, errors.New("it has no id")
	}
	return int(r.ID), nil
}

// decodeRow reads a row leniently: forks and old databases hold booleans as
// 0 and 1, and ports as strings. The digest tells it from another one.
func decodeRow(k api.Kind, raw []byte) (*api.Host, digest, error) {
	text, err := canonical(raw)
	if err != nil {
		return nil, digest{}, fmt.Errorf("a %s's row: %w", kinds[k].noun, err)
	}
	var r row
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, digest{}, fmt.Errorf("a %s's row: %w", kinds[k].noun, err)
	}
	if r.ID <= 0 {
		return nil, digest{}, fmt.Errorf("a %s's row has no id", kinds[k].noun)
	}
	h := &api.Host{
		Kind:     k,
		ID:       int(r.ID),
		Domains:  r.Domains,
		Enabled:  r.Enabled == nil || bool(*r.Enabled),
		Advanced: string(r.Advanced),
		Raw:      text,
	}
	if k == api.KindHost {
		h.Forward = api.Endpoint{Scheme: string(r.Scheme), Host: string(r.Host)}
		if r.Port > 0 && r.Port <= 65535 {
			h.Forward.Port = uint16(r.Port)
		}
	}
	readMeta(h, r.Meta)
	return h, sha256.Sum256(text), nil
}

// readMeta fills in what a row's meta says. Nothing in it is an error:
// anybody may write there.
func readMeta(h *api.Host, raw json.RawMessage) {
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
	if len(meta[metaOurs]) == 0 || meta[metaOurs][0] != '{' {
		return
	}
	var ours api.Ownership
	if json.Unmarshal(meta[metaOurs], &ours) != nil {
		// Another version's, or damaged: whoever's it is, it is not to be lost.
		ours = api.Ownership{Instance: unreadable}
	}
	if ours.Backend != "" || ours.Instance != "" {
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
func metaToSend(h *api.Host) map[string]json.RawMessage {
	keys := metaKeys(h.Meta)
	if keys == nil {
		keys = map[string]json.RawMessage{}
	}
	delete(keys, metaOnline)
	delete(keys, metaErr)
	return keys
}

// metaWith is the meta to send so that a host remembers own, or nothing where
// that is nil; nil if it does so already. A 404 host remembers for ever what it
// was made with: NPM puts the old meta back at each write.
func metaWith(h *api.Host, own *api.Ownership) (map[string]json.RawMessage, error) {
	if known, err := remembers(h, own); known || err != nil || h.Kind == api.KindDeadHost {
		return nil, err
	}
	meta := metaToSend(h)
	delete(meta, metaOurs)
	if own == nil {
		return meta, nil
	}
	var err error
	meta[metaOurs], err = encode(own)
	return meta, err
}

// remembers reports whether a host's meta says of its ownership just this.
func remembers(h *api.Host, own *api.Ownership) (bool, error) {
	have := metaKeys(h.Meta)[metaOurs]
	if own == nil || h.Ownership == nil {
		return own == nil && have == nil, nil
	}
	unsigned := *own
	unsigned.By = h.Ownership.By // who signs it makes no difference
	want, err := encode(unsigned)
	return sameJSON(have, want), err
}

// sameJSON reports whether two texts say the same, or are both missing.
func sameJSON(a, b []byte) bool {
	var x, y any
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return decodeNumbers(a, &x) == nil && decodeNumbers(b, &y) == nil && reflect.DeepEqual(x, y)
}

// digest identifies a text.
type digest [sha256.Size]byte

// canonical is what a row says: whatever the order of its keys, and apart from
// modified_on, which every write moves, by a second or two even after NPM
// answered, and from what answers to a PUT add to the row: private keys and
// passwords among that.
func canonical(raw []byte) ([]byte, error) {
	var fields map[string]any
	if err := decodeNumbers(raw, &fields); err != nil {
		return nil, err
	}
	for _, volatile := range []string{"modified_on", "owner", "certificate", "access_list"} {
		delete(fields, volatile)
	}
	text, err := encode(fields)
	return bytes.Clone(text), err // without the room that growing left
}

// decodeNumbers keeps numbers as they are written.
func decodeNumbers(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(v)
}

// encode is JSON without the escapes that only HTML needs.
func encode(v any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSpace(text.Bytes()), err
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
