package main

import (
	"context"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// packaged reads a file of packaging/.
func packaged(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "packaging", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPackagedConfig: the configuration that is installed is valid, without a warning, and so it is with everything in it
// that is commented out.
func TestPackagedConfig(t *testing.T) {
	loaded, err := loadConfig(filepath.Join("..", "..", "packaging", "edge.yaml"), nil, nil)
	if err != nil || len(loaded.Warnings) > 0 {
		t.Fatalf("%v, warnings %v", err, loaded.Warnings)
	}
	if c := loaded.Config; c.Data != "/var/lib/edge" || c.HTTP.Address != "127.0.0.1:8080" || c.Broker.Durability != "safe" {
		t.Errorf("installed is %+v", c)
	}
	all := regexp.MustCompile(`(?m)^# (uplinks:|  .*)$`).ReplaceAllString(packaged(t, "edge.yaml"), "$1")
	all = regexp.MustCompile(`(?m)^( +)# (- \{.*)$`).ReplaceAllString(all, "$1$2")
	dir := t.TempDir()
	cert, key := certificate(t, dir, "server")
	for name, is := range map[string]string{"tls/cert.pem": cert, "tls/key.pem": key, "tls/ca.pem": cert, "tls/enterprise-ca.pem": cert, "enterprise.password": key} {
		all = strings.ReplaceAll(all, "/etc/edge/"+name, is)
	}
	file := filepath.Join(dir, "edge.yaml")
	if err := os.WriteFile(file, []byte(all), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err = loadConfig(file, nil, nil)
	if err != nil {
		t.Fatalf("uncommented: %v\n%s", err, all)
	}
	if c := loaded.Config; len(c.Broker.Listeners) != 5 || len(c.Uplinks) != 1 {
		t.Errorf("uncommented there are %d listeners and %d uplinks, want 5 and 1:\n%s", len(c.Broker.Listeners), len(c.Uplinks), all)
	}
}

// TestUnit: systemd takes the unit, and the unit says what the program does: its exit codes, its signals, its deadline.
func TestUnit(t *testing.T) {
	unit := packaged(t, "edge.service")
	for _, want := range []string{
		"Type=notify", "ExecStart=/usr/bin/edge run --config /etc/edge/edge.yaml", "ExecReload=/bin/kill -HUP $MAINPID",
		"RestartPreventExitStatus=78", "NoNewPrivileges=yes", "ProtectSystem=strict",
	} {
		if !strings.Contains(unit, "\n"+want+"\n") {
			t.Errorf("the unit has no %s", want)
		}
	}
	for key, least := range map[string]time.Duration{"TimeoutStopSec": shutdownDeadline + time.Second, "WatchdogSec": 2 * time.Second} {
		m := regexp.MustCompile(`(?m)^` + key + `=(\S+)$`).FindStringSubmatch(unit)
		if m == nil {
			t.Errorf("the unit has no %s", key)
		} else if d, err := time.ParseDuration(m[1]); err != nil || d < least {
			t.Errorf("%s=%s, want at least %s", key, m[1], least)
		}
	}
	analyze := program(t, "systemd-analyze", "apt-get install systemd")
	self, err := os.Executable() // verify wants the programs to be there
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "edge.service")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(unit, "/usr/bin/edge", self)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", "--man=no", file).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "edge.service") {
			t.Errorf("systemd-analyze verify: %s", line)
		}
	}
	if err != nil {
		t.Errorf("systemd-analyze verify: %v %s", err, out)
	}
}

// TestDockerfile: the image is the static binary and nothing to log in to; it runs as nobody and keeps its data outside.
func TestDockerfile(t *testing.T) {
	file := packaged(t, "Dockerfile")
	_, image, ok := strings.Cut(file, "\nFROM scratch\n")
	if !ok || strings.Contains(image, "FROM ") || strings.Contains(image, "\nRUN ") {
		t.Fatal("the last stage is not FROM scratch")
	}
	for _, want := range []string{"USER 65532:65532", "VOLUME /var/lib/edge", `ENTRYPOINT ["/usr/bin/edge"]`, `CMD ["run", "--config", "/etc/edge/edge.yaml"]`} {
		if !strings.Contains(image, "\n"+want+"\n") {
			t.Errorf("the image has no %s", want)
		}
	}
	if !regexp.MustCompile(`RUN CGO_ENABLED=0 go build -trimpath .* -o /edge \./cmd/edge`).MatchString(file) {
		t.Error("the binary is not built static")
	}
}

// TestStaticBinary builds as the Dockerfile does, but for -trimpath, which would compile everything anew: the binary needs no loader and no library, and runs alone in an empty
// folder without environment.
func TestStaticBinary(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the appliance runs on Linux; run the test there")
	}
	if testing.Short() {
		t.Skip("builds the program; run without -short")
	}
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "edge")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X main.version=9.9.9-test", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v %s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary has a segment %s: it is linked dynamically", p.Type)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	alone := exec.CommandContext(ctx, binary, "version")
	alone.Dir, alone.Env = t.TempDir(), []string{}
	out, err := alone.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "edge 9.9.9-test") {
		t.Errorf("edge version: %v %s", err, out)
	}
	if info, err := os.Stat(binary); err == nil {
		t.Logf("%.1f MB", float64(info.Size())/1e6)
	}
}
