package drivers

// This file owns the reading of OTLP exports by an implementation that is not ours: OpenTelemetry's definitions of the messages, in Python.

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/boltgate/boltgate/test/labs/jars"
)

//go:embed otlp
var otlpFiles embed.FS

// OTLPReader is the program, installed.
type OTLPReader struct{ argv []string }

// OTLPReaderAvailable reports what this machine lacks to run the reader, nil when nothing.
func OTLPReaderAvailable() error { return needs("python3")() }

// InstallOTLPReader makes it ready to run, as Install does with a driver.
func InstallOTLPReader(ctx context.Context) (OTLPReader, error) {
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	cache, err := jars.Cache()
	if err != nil {
		return OTLPReader{}, err
	}
	unlock, err := jars.Lock(filepath.Join(cache, "otlp-reader.lock"))
	if err != nil {
		return OTLPReader{}, err
	}
	defer unlock()
	requirements, err := otlpFiles.ReadFile("otlp/requirements.txt")
	if err != nil {
		return OTLPReader{}, err
	}
	program, err := otlpFiles.ReadFile("otlp/read.py")
	if err != nil {
		return OTLPReader{}, err
	}
	sum := sha256.Sum256(append(requirements, program...))
	dir := filepath.Join(cache, "otlp-reader-"+hex.EncodeToString(sum[:6]))
	interpreter := filepath.Join(dir, "venv", "bin", "python")
	r := OTLPReader{[]string{interpreter, filepath.Join(dir, "read.py")}}
	mark := filepath.Join(dir, ".complete")
	if _, err := os.Stat(mark); err == nil {
		return r, nil
	}
	from, err := fs.Sub(otlpFiles, "otlp")
	if err != nil {
		return r, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755), os.CopyFS(dir, from)); err != nil {
		return r, err
	}
	if err := call(ctx, dir, "python3", "-m", "venv", "venv"); err != nil {
		return r, err
	}
	if err := call(ctx, dir, interpreter, "-m", "pip", "install", "-q", "--no-input", "--require-hashes", "-r", "requirements.txt"); err != nil {
		return r, err
	}
	return r, os.WriteFile(mark, nil, 0o644)
}

// OTLPSpan is a span as the reader shows it, in OTLP's JSON.
type OTLPSpan struct {
	TraceID      string `json:"traceId"` // base64, as protobuf's own JSON has it
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	TraceState   string `json:"traceState"`
	Name         string `json:"name"`
	Kind         string `json:"kind"`
	Start        string `json:"startTimeUnixNano"`
	End          string `json:"endTimeUnixNano"`
	Flags        uint32 `json:"flags"`
	Attributes   OTLPAttributes
	Events       []struct {
		Time       string `json:"timeUnixNano"`
		Name       string
		Attributes OTLPAttributes
	}
	Status struct{ Code, Message string }
}

// OTLPAttributes are attributes by name, numbers as texts.
type OTLPAttributes map[string]string

// UnmarshalJSON reads a list of KeyValue.
func (a *OTLPAttributes) UnmarshalJSON(text []byte) error {
	var list []struct {
		Key   string
		Value struct {
			StringValue *string
			IntValue    *string
		}
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*a = OTLPAttributes{}
	for _, kv := range list {
		switch {
		case kv.Value.StringValue != nil:
			(*a)[kv.Key] = *kv.Value.StringValue
		case kv.Value.IntValue != nil:
			(*a)[kv.Key] = *kv.Value.IntValue
		default:
			return fmt.Errorf("attribute %s has neither a text nor a number", kv.Key)
		}
	}
	return nil
}

// OTLPExport is what an export holds.
type OTLPExport struct {
	Resource OTLPAttributes
	Scope    string
	Spans    []OTLPSpan
}

// Read reads an ExportTraceServiceRequest with one resource and one scope.
func (r OTLPReader) Read(ctx context.Context, request []byte) (OTLPExport, error) {
	cmd := exec.CommandContext(ctx, r.argv[0], r.argv[1:]...)
	cmd.Stdin = bytes.NewReader(request)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return OTLPExport{}, fmt.Errorf("reading an export: %w: %s", err, errs.Bytes())
	}
	var all struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes OTLPAttributes }
			ScopeSpans []struct {
				Scope struct{ Name, Version string }
				Spans []OTLPSpan
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &all); err != nil {
		return OTLPExport{}, err
	}
	if len(all.ResourceSpans) != 1 || len(all.ResourceSpans[0].ScopeSpans) != 1 {
		return OTLPExport{}, fmt.Errorf("an export of other than one resource and scope: %s", out.Bytes())
	}
	one := all.ResourceSpans[0]
	return OTLPExport{Resource: one.Resource.Attributes, Scope: one.ScopeSpans[0].Scope.Name, Spans: one.ScopeSpans[0].Spans}, nil
}
