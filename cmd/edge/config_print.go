package main

import (
	"context"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
)

// runConfig is `edge config FILE`: the effective configuration, each value with its source.
func runConfig(_ context.Context, args []string, std streams) int {
	_, loaded, code := loadNamed("config", args, std)
	if loaded == nil {
		return code
	}
	printConfig(std.out, loaded)
	return exitOK
}

// printConfig writes YAML that loads to the same configuration, with the source of each value as a comment.
// Secrets stand in files of their own; only the names of those files are shown.
func printConfig(w io.Writer, l *Loaded) {
	printBlock(w, reflect.ValueOf(l.Config), "", "", func(key string) string { return l.Sources[key] })
}

func printBlock(w io.Writer, v reflect.Value, key, indent string, source func(string) string) {
	t := v.Type()
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("mapstructure")
		if name == "" {
			continue
		}
		full := joinKey(key, name)
		if f := v.Field(i); f.Kind() == reflect.Struct {
			fmt.Fprintf(w, "%s%s:\n", indent, name)
			printBlock(w, f, full, indent+"  ", source)
		} else if f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct && f.Len() > 0 {
			fmt.Fprintf(w, "%s%s:%s\n", indent, name, comment(source(full)))
			printEntries(w, f, indent+"  ")
		} else if f.Kind() != reflect.Pointer || !f.IsNil() {
			fmt.Fprintf(w, "%s%s: %s%s\n", indent, name, scalarText(f), comment(source(full)))
		}
	}
}

func printEntries(w io.Writer, list reflect.Value, indent string) {
	for i := range list.Len() {
		var entry strings.Builder
		printBlock(&entry, list.Index(i), "", indent+"  ", func(string) string { return "" })
		fmt.Fprintf(w, "%s- %s", indent, strings.TrimPrefix(entry.String(), indent+"  "))
	}
}

func comment(source string) string {
	if source == "" {
		return ""
	}
	return "  # " + source
}

func scalarText(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice {
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = scalarText(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if v.Kind() == reflect.String {
		return strconv.Quote(v.String())
	}
	return fmt.Sprint(v.Interface())
}
