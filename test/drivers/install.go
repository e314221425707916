package drivers

// This file owns how each driver comes onto the machine: into a folder of the labs' cache, named after the content of what pins it, so that a
// changed pin or program is installed anew and an equal one is not.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/boltgate/boltgate/test/labs/jars"
)

//go:embed python javascript java
var files embed.FS

// installTime bounds one installation.
const installTime = 10 * time.Minute

// Install makes the driver's smoke program ready to run, downloading what its committed pins name when the cache has it not. Processes that
// install at the same time wait for each other.
func (d Driver) Install(ctx context.Context) (Program, error) {
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	cache, err := jars.Cache()
	if err != nil {
		return Program{}, err
	}
	unlock, err := jars.Lock(filepath.Join(cache, "driver-"+d.slug+".lock"))
	if err != nil {
		return Program{}, err
	}
	defer unlock()
	sum, err := fingerprint()
	if err != nil {
		return Program{}, err
	}
	argv, err := d.install(ctx, filepath.Join(cache, "driver-"+d.slug+"-"+sum))
	if err != nil {
		return Program{}, fmt.Errorf("drivers: cannot install %s: %w", d.Name, err)
	}
	return Program{d, argv}, nil
}

// fingerprint names the content of every committed program and pin.
func fingerprint() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		fmt.Fprintf(h, "%s %d\n%s", path, len(text), text)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:12], err
}

func needs(tools ...string) func() error {
	return func() error {
		for _, tool := range tools {
			if _, err := exec.LookPath(tool); err != nil {
				return fmt.Errorf("drivers: %s is not on the PATH", tool)
			}
		}
		return nil
	}
}

// once runs make in a new folder unless dir is complete; a mark in dir says that it is.
func once(dir, from string, make func() error) error {
	mark := filepath.Join(dir, ".complete")
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return err
	}
	sub, err := fs.Sub(files, from)
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, sub); err != nil {
		return err
	}
	if err := make(); err != nil {
		return err
	}
	return os.WriteFile(mark, nil, 0o644)
}

// call runs a tool in a folder; its error has what the tool said.
func call(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}

// installGo builds the program each time: the build cache makes that quick, and the module's own go.mod pins the driver.
func installGo(ctx context.Context, dir string) ([]string, error) {
	program := dir + ".bin"
	return []string{program}, call(ctx, "", "go", "build", "-o", program, "github.com/boltgate/boltgate/test/drivers/godriver")
}

func python(requirements, program string) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, dir string) ([]string, error) {
		interpreter := filepath.Join(dir, "venv", "bin", "python")
		return []string{interpreter, filepath.Join(dir, program)}, once(dir, "python", func() error {
			if err := call(ctx, dir, "python3", "-m", "venv", "venv"); err != nil {
				return err
			}
			return call(ctx, dir, interpreter, "-m", "pip", "install", "-q", "--no-input", "--require-hashes", "-r", requirements)
		})
	}
}

func javascript(pin, program string) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, dir string) ([]string, error) {
		folder := filepath.Join(dir, pin)
		return []string{"node", filepath.Join(dir, program), folder}, once(dir, "javascript", func() error {
			return call(ctx, folder, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
		})
	}
}

// BrowserBuild returns the path of the JavaScript driver's build for browsers, a script that defines neo4j.
func BrowserBuild(ctx context.Context) (string, error) {
	d := Named("JavaScript 6")
	if err := d.Available(); err != nil {
		return "", err
	}
	p, err := d.Install(ctx)
	if err != nil {
		return "", err
	}
	return filepath.Join(p.argv[len(p.argv)-1], "node_modules", "neo4j-driver", "lib", "browser", "neo4j-web.min.js"), nil
}
