package main

// This file owns the reading of the daemon's stream of events.

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/boltgate/boltgate/admin"
)

const longestEvent = 1 << 20 // bytes of a line in the stream

// follow shows events as they come, until ctx ends (nil) or the daemon does.
func (c *client) follow(ctx context.Context, show func(admin.Event) error) error {
	answer, err := c.send(ctx, http.MethodGet, "/api/v1/events", nil, "text/event-stream")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, longestEvent)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var ev admin.Event
		if err := json.Unmarshal([]byte(text), &ev); err != nil {
			return fmt.Errorf("the daemon's event is not what this version of boltgate knows: %w", err)
		}
		if err := show(ev); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("the daemon ended the stream"), lines.Err())
}
