package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Fields are some of the fields of a row of NPM's that may be written, under
// NPM's own names. Their values are bool, int, string, []string or []Location.
type Fields map[string]any

// Names of fields, as NPM's API has them.
const (
	FieldDomains     = "domain_names"
	FieldScheme      = "forward_scheme"
	FieldHost        = "forward_host"
	FieldPort        = "forward_port"
	FieldCertificate = "certificate_id"
	FieldForceSSL    = "ssl_forced"
	FieldHTTP2       = "http2_support"
	FieldHSTS        = "hsts_enabled"
	FieldHSTSSubs    = "hsts_subdomains"
	FieldWebsockets  = "allow_websocket_upgrade"
	FieldExploits    = "block_exploits"
	FieldCache       = "caching_enabled"
	FieldTrustProto  = "trust_forwarded_proto"
	FieldAccessList  = "access_list_id"
	FieldLocations   = "locations"
	FieldAdvanced    = "advanced_config"

	FieldRedirectTo   = "forward_domain_name"
	FieldRedirectCode = "forward_http_code"
	FieldKeepPath     = "preserve_path"

	FieldIncoming   = "incoming_port"
	FieldStreamHost = "forwarding_host"
	FieldStreamPort = "forwarding_port"
	FieldTCP        = "tcp_forwarding"
	FieldUDP        = "udp_forwarding"
)

// Location is a custom location of a proxy host.
type Location struct {
	Path        string `json:"path"`
	Scheme      string `json:"forward_scheme"`
	Host        string `json:"forward_host"`
	Port        int    `json:"forward_port"`
	ForwardPath string `json:"forward_path,omitempty"`
	Advanced    string `json:"advanced_config,omitempty"`
}

// readers turn what NPM shows into a field's value. Forks and old databases
// hold booleans as 0 and 1, and numbers as strings.
var readers = map[string]func(json.RawMessage) (any, bool){
	FieldDomains: readStrings, FieldScheme: readString, FieldHost: readString, FieldPort: readInt,
	FieldCertificate: readInt, FieldForceSSL: readBool, FieldHTTP2: readBool, FieldHSTS: readBool, FieldHSTSSubs: readBool,
	FieldWebsockets: readBool, FieldExploits: readBool, FieldCache: readBool, FieldTrustProto: readBool,
	FieldAccessList: readInt, FieldLocations: readLocations, FieldAdvanced: readString,
	FieldRedirectTo: readString, FieldRedirectCode: readInt, FieldKeepPath: readBool,
	FieldIncoming: readInt, FieldStreamHost: readString, FieldStreamPort: readInt, FieldTCP: readBool, FieldUDP: readBool,
}

// UnmarshalJSON reads the fields that are known, and leaves out the rest of a
// row, and what is of another type.
func (f *Fields) UnmarshalJSON(raw []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	*f = make(Fields, len(all))
	for name, value := range all {
		if read := readers[name]; read != nil {
			if v, ok := read(value); ok {
				(*f)[name] = v
			}
		}
	}
	return nil
}

// Differing are the fields of want that have does not say likewise.
func (f Fields) Differing(have Fields) Fields {
	diff := Fields{}
	for name, value := range f {
		if !have.Says(name, value) {
			diff[name] = value
		}
	}
	return diff
}

// Says reports whether a field has this value. A field that is not there says
// what NPM makes of nothing said: false, 0, "" or an empty list.
func (f Fields) Says(name string, value any) bool {
	have, ok := f[name]
	if !ok {
		v := reflect.ValueOf(value)
		return !v.IsValid() || v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0
	}
	a, b := reflect.ValueOf(have), reflect.ValueOf(value)
	if a.Kind() == reflect.Slice && b.Kind() == reflect.Slice && a.Len()+b.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(have, value)
}

// Of are these fields as a row has them.
func (f Fields) Of(row Fields) Fields {
	of := make(Fields, len(f))
	for name, value := range f {
		if have, ok := row[name]; ok {
			of[name] = have
		} else {
			of[name] = Zero(value)
		}
	}
	return of
}

// Zero is what NPM makes of a field of which nothing is said, of the same type as
// a value: false, 0, "" or an empty list.
func Zero(value any) any {
	t := reflect.TypeOf(value)
	if t.Kind() == reflect.Slice {
		return reflect.MakeSlice(t, 0, 0).Interface() // NPM takes no null
	}
	return reflect.Zero(t).Interface()
}

// With are these fields and others, which come first where both have one.
func (f Fields) With(others Fields) Fields {
	all := make(Fields, len(f)+len(others))
	maps.Copy(all, f)
	maps.Copy(all, others)
	return all
}

// Names of the fields, in alphabetical order.
func (f Fields) Names() []string { return slices.Sorted(maps.Keys(f)) }

// Int is a number among the fields; 0 where it is not said.
func (f Fields) Int(name string) int { n, _ := f[name].(int); return n }

// Bool is a switch among the fields; false where it is not said.
func (f Fields) Bool(name string) bool { b, _ := f[name].(bool); return b }

// Text is a string among the fields; empty where it is not said.
func (f Fields) Text(name string) string { s, _ := f[name].(string); return s }

// Strings is a list among the fields; nil where it is not said.
func (f Fields) Strings(name string) []string { s, _ := f[name].([]string); return s }

// Locations among the fields; nil where they are not said.
func (f Fields) Locations() []Location { l, _ := f[FieldLocations].([]Location); return l }

// Endpoint is where the fields of a proxy host forward to.
func (f Fields) Endpoint() Endpoint {
	e := Endpoint{Scheme: f.Text(FieldScheme), Host: f.Text(FieldHost)}
	if port := f.Int(FieldPort); 0 < port && port < 1<<16 {
		e.Port = uint16(port)
	}
	return e
}

// Fields are an endpoint as the fields of a proxy host.
func (e Endpoint) Fields() Fields {
	return Fields{FieldScheme: e.Scheme, FieldHost: e.Host, FieldPort: int(e.Port)}
}

func readBool(raw json.RawMessage) (any, bool) {
	switch strings.Trim(string(raw), `"`) {
	case "true", "1":
		return true, true
	case "false", "0", "null":
		return false, true
	}
	return nil, false
}

func readInt(raw json.RawMessage) (any, bool) {
	if string(raw) == "null" {
		return 0, true
	}
	n, err := strconv.Atoi(strings.Trim(string(raw), `"`))
	return n, err == nil
}

func readString(raw json.RawMessage) (any, bool) {
	var s string
	return s, json.Unmarshal(raw, &s) == nil
}

func readStrings(raw json.RawMessage) (any, bool) {
	var list []string
	return list, json.Unmarshal(raw, &list) == nil
}

func readLocations(raw json.RawMessage) (any, bool) {
	var list []Location
	return list, json.Unmarshal(raw, &list) == nil
}
