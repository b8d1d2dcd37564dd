package intent

import (
	"strings"
	"testing"

	"github.com/no502/no502/api"
)

func TestAVariableForEveryFieldThatCanHaveADefault(t *testing.T) {
	for _, f := range fields {
		variable := defaultVariable(f.name)
		name, ok := DefaultName(variable)
		if !ok || name != f.name {
			t.Errorf("%s is %q %t, not %q", variable, name, ok, f.name)
		}
		err := CheckDefaults(map[string]string{name: f.example})
		if f.alone != (err != nil) || err != nil && !strings.HasPrefix(err.Error(), variable+": ") {
			t.Errorf("%s=%s: %v", variable, f.example, err)
		}
	}
	for _, variable := range []string{"NO502_DEFAULT_", "NO502_DEFAULT", "NO502_NETWORK", "no502_default_grace"} {
		if name, ok := DefaultName(variable); ok {
			t.Errorf("%s is %s", variable, name)
		}
	}
}

func TestABadDefaultIsNamedAsTheOperatorKnowsIt(t *testing.T) {
	for setting, want := range map[string]string{
		"NO502_DEFAULT_FORCE_SSL=maybe":         `NO502_DEFAULT_FORCE_SSL is "maybe", which is not allowed: use ` + booleans,
		"NO502_DEFAULT_ON_REMOVE=":              `NO502_DEFAULT_ON_REMOVE is "", which is not allowed: use keep, disable or delete`,
		"NO502_DEFAULT_FORCESSL=true":           `NO502_DEFAULT_FORCESSL: there is no label "forcessl"; did you mean NO502_DEFAULT_FORCE_SSL?`,
		"NO502_DEFAULT_LETSENCRYPT_MAIL=x":      `NO502_DEFAULT_LETSENCRYPT_MAIL: there is no label "letsencrypt-mail"; did you mean NO502_DEFAULT_LETSENCRYPT_EMAIL?`,
		"NO502_DEFAULT_HOST=example.com":        "NO502_DEFAULT_HOST: there is no default for this, since every service has its own",
		"NO502_DEFAULT_LOCATION_API_PATH=/api":  "NO502_DEFAULT_LOCATION_API_PATH: there is no default for this, since every service has its own",
		"NO502_DEFAULT_ADVANCED_CONFIG=a\x00":   `NO502_DEFAULT_ADVANCED_CONFIG is "a\x00", which is not allowed: use nginx directives, up to 64 kB`,
		"NO502_DEFAULT_LETSENCRYPT_EMAIL=admin": `NO502_DEFAULT_LETSENCRYPT_EMAIL is "admin", which is not allowed: use an e-mail address`,
	} {
		variable, value, _ := strings.Cut(setting, "=")
		name, _ := DefaultName(variable)
		if err := CheckDefaults(map[string]string{name: value, "http2": "true"}); err == nil || err.Error() != want {
			t.Errorf("%s:\n  %v, want\n  %s", setting, err, want)
		}
	}
	if err := CheckDefaults(nil); err != nil {
		t.Error(err)
	}
}

func TestEgressIsForContainersWithoutLabels(t *testing.T) {
	if in := Of(&api.Container{}, api.Policy{Prefix: "no502", Defaults: map[string]string{"egress": "yes"}}); !in.Egress {
		t.Error("with scope all, the default counts for containers without labels as well")
	}
}
