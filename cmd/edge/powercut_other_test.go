//go:build !linux

package main

import "testing"

func (d *disk) cut(t *testing.T) { t.Fatal("power cuts need Linux") }
