package main

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-viper/mapstructure/v2"
)

var (
	durationType = reflect.TypeFor[Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// parseScalar reads text as a value of t: the one place that says what a scalar may look like.
func parseScalar(t reflect.Type, text string) (any, error) {
	switch {
	case t == durationType && text == "0":
		return Duration(0), nil
	case t == durationType:
		return parseDuration(text)
	case t == sizeType:
		return parseSize(text)
	}
	switch t.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
		return text == "true", nil
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is not a whole number of 0 or more", text)
		}
		return n, nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f-f != 0 { // infinities and NaN are no limits
			return nil, fmt.Errorf("%q is not a number", text)
		}
		return f, nil
	}
	return text, nil
}

// kindName says what a value of t looks like, for messages.
func kindName(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration such as 250ms or 30d"
	case t == sizeType:
		return "a size such as 16MiB"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "a number"
	}
	return "text"
}

// plain turns a default into what a YAML file would have held, so that viper sees one form.
func plain(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Struct:
		m := map[string]any{}
		eachLeaf("", v, func(key string, leaf reflect.Value) { setPath(m, key, plain(leaf)) })
		return m
	}
	switch x := v.Interface().(type) {
	case Duration:
		return x.String()
	case Size:
		return x.String()
	}
	return v.Interface()
}

// decodeOptions makes viper strict: no weak typing, our own units, list entries filled with their defaults.
func decodeOptions(c *mapstructure.DecoderConfig) {
	c.WeaklyTypedInput = false
	c.DecodeHook = mapstructure.ComposeDecodeHookFunc(decodeUnits, fillListDefaults)
}

func decodeUnits(from, to reflect.Type, data any) (any, error) {
	if to != durationType && to != sizeType || from == to {
		return data, nil
	}
	return parseScalar(to, fmt.Sprint(data))
}

func fillListDefaults(_, to reflect.Type, data any) (any, error) {
	m, ok := data.(map[string]any)
	if !ok {
		return data, nil
	}
	var defaults reflect.Value
	switch to {
	case reflect.TypeFor[ListenerConfig]():
		transport, _ := m["transport"].(string)
		defaults = reflect.ValueOf(defaultListener(transport))
	case reflect.TypeFor[UplinkConfig]():
		profile, _ := m["profile"].(string)
		defaults = reflect.ValueOf(defaultUplink(profile))
	case reflect.TypeFor[TopicConfig]():
		defaults = reflect.ValueOf(TopicConfig{Direction: "out", QoS: 1})
	default:
		return data, nil
	}
	return fillMissing(m, plain(defaults).(map[string]any)), nil
}

// fillMissing returns m with what it lacks taken from defaults, block by block.
func fillMissing(m, defaults map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range defaults {
		out[k] = v
	}
	for k, v := range m {
		sub, isBlock := v.(map[string]any)
		below, hasDefault := out[k].(map[string]any)
		if isBlock && hasDefault {
			v = fillMissing(sub, below)
		}
		out[k] = v
	}
	return out
}

func setPath(m map[string]any, key string, v any) {
	for {
		before, after, nested := strings.Cut(key, ".")
		if !nested {
			m[before] = v
			return
		}
		sub, ok := m[before].(map[string]any)
		if !ok {
			sub = map[string]any{}
			m[before] = sub
		}
		m, key = sub, after
	}
}
