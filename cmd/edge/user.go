package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"edge/broker/auth"
)

// The bounds of a password: short ones are guessed, and nobody types long ones.
const minPassword, maxPassword = 12, 1024

// runUser is `edge user add|passwd|list|remove`: it edits the file that broker.users names. A running appliance takes
// the change over on SIGHUP.
func runUser(_ context.Context, args []string, std streams) int {
	var file, client, cert string
	fs := newFlags("user", "user add|passwd|list|remove [NAME] [--file users.yaml]",
		"edge user add press --client press --file /etc/edge/users.yaml\n\n"+
			"The password is asked for, or read from standard input (one line, at least 12 characters); it is never an argument.\n"+
			"The file gets an argon2id hash of it and, for clients that log in by SCRAM-SHA-256 (MQTT 5.0), a verifier.", std)
	fs.StringVar(&file, "file", "users.yaml", "the file that broker.users in the configuration names")
	fs.StringVar(&client, "client", "", "add: the client id that this user, and nobody else, connects with; a prefix if it ends in *")
	fs.StringVar(&cert, "cert", "", "add: subject of the client certificate that logs this user in; no password is asked for")
	entry := userEntry{}
	fs.IntVar(&entry.iterations, "iterations", auth.DefaultIterations,
		"add, passwd: what the SCRAM verifier costs who guesses, and the client at each login; 0 leaves it out")
	plain, code, ok := parseFlags(fs, args, 1, 2, std)
	if !ok {
		return code
	}
	wantsName := plain[0] != "list"
	act := userActs[plain[0]]
	if act == nil || wantsName != (len(plain) == 2) || plain[0] != "add" && client+cert != "" {
		fs.SetOutput(std.err)
		fs.Usage()
		return exitUsage
	}
	entry.User = auth.User{Client: client, Cert: cert}
	if wantsName {
		entry.Name = plain[1]
	}
	if err := act(file, entry, std); err != nil {
		fmt.Fprintf(std.err, "edge user %s: %v\n", plain[0], err)
		return exitFailed
	}
	return exitOK
}

// userEntry is what the command line says of a user.
type userEntry struct {
	auth.User
	iterations int // of the SCRAM verifier; 0: none
}

var userActs = map[string]func(file string, u userEntry, std streams) error{
	"add": addUser, "passwd": changePassword, "list": listUsers, "remove": removeUser,
}

func addUser(file string, u userEntry, std streams) error {
	if err := auth.CheckNewUserName(u.Name); err != nil {
		return err
	}
	users, i, err := findUser(file, u.Name)
	if err != nil {
		return err
	}
	if i >= 0 {
		return fmt.Errorf("user %q is there already; edge user passwd %s changes the password", u.Name, u.Name)
	}
	if u.Cert == "" {
		if err = u.askPassword(std); err != nil {
			return err
		}
	}
	if err := auth.WriteUsers(file, append(users, u.User)); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "added %s to %s; send the appliance SIGHUP to apply\n", u.Name, file)
	return nil
}

func changePassword(file string, u userEntry, std streams) error {
	users, i, err := findUser(file, u.Name)
	if err != nil {
		return err
	}
	if i < 0 {
		return fmt.Errorf("no user %q in %s", u.Name, file)
	}
	u.User = users[i]
	if err = u.askPassword(std); err != nil {
		return err
	}
	users[i] = u.User
	if err := auth.WriteUsers(file, users); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "changed the password of %s in %s; send the appliance SIGHUP to apply\n", u.Name, file)
	return nil
}

func listUsers(file string, _ userEntry, std streams) error {
	users, err := auth.ReadUsers(file)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tCLIENT\tLOGIN")
	for _, u := range users {
		fmt.Fprintf(w, "%s\t%s\t%s\n", u.Name, cmp.Or(u.Client, "any"), logins(u))
	}
	return w.Flush()
}

// logins tells the ways in which a user can log in.
func logins(u auth.User) string {
	var ways []string
	if u.Hash != "" {
		ways = append(ways, "password")
	}
	if u.Scram != "" {
		ways = append(ways, auth.ScramSHA256)
	}
	if u.Cert != "" {
		ways = append(ways, "certificate "+u.Cert)
	}
	return strings.Join(ways, ", ")
}

func removeUser(file string, u userEntry, std streams) error {
	users, i, err := findUser(file, u.Name)
	if err != nil {
		return err
	}
	if i < 0 {
		return fmt.Errorf("no user %q in %s", u.Name, file)
	}
	if err := auth.WriteUsers(file, slices.Delete(users, i, i+1)); err != nil {
		return err
	}
	fmt.Fprintf(std.out, "removed %s from %s; send the appliance SIGHUP to apply\n", u.Name, file)
	return nil
}

// findUser returns the users of file and the place of name among them, -1 if it is not there.
func findUser(file, name string) (users []auth.User, i int, err error) {
	users, err = auth.ReadUsers(file)
	return users, slices.IndexFunc(users, func(u auth.User) bool { return u.Name == name }), err
}

// askPassword asks for a password twice if standard input is a terminal, else reads it as one line, and puts what is
// to be kept of it into u.
func (u *userEntry) askPassword(std streams) (err error) {
	var password []byte
	if f, isFile := std.in.(*os.File); isFile && term.IsTerminal(int(f.Fd())) {
		password, err = askTwice(f, std.err)
	} else {
		password, err = readLine(std.in)
	}
	if err != nil {
		return err
	}
	if n := len([]rune(string(password))); n < minPassword || len(password) > maxPassword {
		return fmt.Errorf("a password has at least %d characters and at most %d bytes", minPassword, maxPassword)
	}
	u.Scram = ""
	if u.iterations != 0 {
		if u.Scram, err = auth.ScramVerifier(password, u.iterations); err != nil {
			return err
		}
	}
	u.Hash = auth.HashPassword(password)
	return nil
}

// askTwice reads without echo.
func askTwice(terminal *os.File, prompt io.Writer) ([]byte, error) {
	ask := func(what string) ([]byte, error) {
		fmt.Fprint(prompt, what)
		defer fmt.Fprintln(prompt)
		return term.ReadPassword(int(terminal.Fd()))
	}
	first, err := ask("password: ")
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	second, err := ask("again: ")
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	if !bytes.Equal(first, second) {
		return nil, errors.New("the two passwords differ")
	}
	return first, nil
}

// readLine returns the first line without its end; what follows is left alone.
func readLine(in io.Reader) ([]byte, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPassword+2)).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return bytes.TrimRight(line, "\r\n"), nil
}
