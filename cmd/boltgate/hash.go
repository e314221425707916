package main

// This file owns `boltgate hash`: from a password to what admin.users takes.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/term"
)

func newHashCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hash", Short: "Make the hash of a password for admin.users", Args: cobra.NoArgs,
		Long: "Read a password, from the terminal without showing it or from standard input, and print its bcrypt hash.",
		RunE: func(c *cobra.Command, _ []string) error {
			password, err := readPassword(c.InOrStdin(), c.ErrOrStderr())
			if err != nil {
				return err
			}
			hash, err := bcrypt.GenerateFromPassword(password, bcrypt.DefaultCost)
			if err != nil {
				return fmt.Errorf("no hash of this password: %w", err)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), string(hash))
			return err
		},
	}
}

func readPassword(in io.Reader, prompt io.Writer) ([]byte, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "password: ")
		p, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return notEmpty(p, err)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return notEmpty([]byte(strings.TrimRight(line, "\r\n")), err)
}

func notEmpty(password []byte, err error) ([]byte, error) {
	if err == nil && len(password) == 0 {
		err = usagef("the password is empty")
	}
	return password, err
}
