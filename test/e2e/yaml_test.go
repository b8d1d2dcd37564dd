package e2e

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// readYAML reads mappings, sequences and scalars, which are all strings here, so
// that nothing is read otherwise than Compose reads it. Anchors and variables,
// which no example needs, are errors.
func readYAML(text string) (any, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, nil
	}
	return plainYAML(document.Content[0])
}

func plainYAML(n *yaml.Node) (v any, err error) {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return nil, fmt.Errorf("line %d: anchors are not understood", n.Line)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil, nil
		}
		return n.Value, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, one := range n.Content {
			v, errOne := plainYAML(one)
			list, err = append(list, v), errors.Join(err, errOne)
		}
		return list, err
	}
	mapping := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if _, twice := mapping[key]; twice {
			err = errors.Join(err, fmt.Errorf("line %d: %s stands twice", n.Content[i].Line, key))
		}
		v, errOne := plainYAML(n.Content[i+1])
		mapping[key], err = v, errors.Join(err, errOne)
	}
	return mapping, err
}

func TestYAML(t *testing.T) {
	got, err := readYAML("a: yes\nb: {c: [1, \"0x2\"], d: }\n# note\ne:\n  - 80:80\n  - f: 3000:81\n")
	want := map[string]any{
		"a": "yes", "b": map[string]any{"c": []any{"1", "0x2"}, "d": nil}, "e": []any{"80:80", map[string]any{"f": "3000:81"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	for _, bad := range []string{"a: &x 1\nb: *x", "a: 1\na: 2", "a: [", "\ta: 1"} {
		if v, err := readYAML(bad); err == nil {
			t.Errorf("%q is read as %v", bad, v)
		}
	}
}
