// Package chrome has Chromium look at pages for tests. Without it a test is skipped, but not in CI (CI is set).
package chrome

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// Start starts Chromium, whose tab ends with the test.
func Start(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const why = "SKIPPED, the page was not looked at: there is no Chromium (Debian: apt-get install chromium)"
		if os.Getenv("CI") != "" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.WSURLReadTimeout(time.Minute))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Do runs actions in the browser.
func Do(t testing.TB, ctx context.Context, what string, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Eval is what a script in the page says.
func Eval[T any](t testing.TB, ctx context.Context, script string) (v T) {
	t.Helper()
	Do(t, ctx, script, chromedp.Evaluate(script, &v))
	return v
}

// Until waits until a script in the page says true.
func Until(t testing.TB, ctx context.Context, script string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !Eval[bool](t, ctx, script); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never true: %s; the page says: %.3000s", script, Eval[string](t, ctx, "document.body.innerText"))
		}
	}
}

// Screenshot writes a picture of all of the page where that is asked for.
func Screenshot(t testing.TB, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv("BOLTGATE_SCREENSHOTS")
	if dir == "" {
		return
	}
	var png []byte
	Do(t, ctx, name, chromedp.FullScreenshot(&png, 100))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// View sets the size of the window, and whether the person likes it dark.
func View(width, height int64, dark bool) chromedp.Action {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return chromedp.Tasks{chromedp.EmulateViewport(width, height), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})}
}
