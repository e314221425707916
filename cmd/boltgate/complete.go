package main

// This file owns what a shell is told of names when somebody presses tab (`boltgate completion bash|zsh|fish|powershell` prints its script).

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/boltgate/boltgate/admin"
)

const completeWithin = 2 * time.Second // somebody waits at a prompt

// completeMember completes a first argument by the names of the daemon's members.
func (c *client) completeMember(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all []admin.MemberInfo
	if len(args) > 0 || !c.completes(cmd, "/api/v1/members", &all) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, m := range all {
		names = append(names, cobra.CompletionWithDesc(m.Name, m.Condition+", "+orDash(roleWords(m.Roles))))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeSession completes a first argument by the sessions that have work.
func (c *client) completeSession(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var all admin.SessionsInfo
	if len(args) > 0 || !c.completes(cmd, "/api/v1/queries", &all) {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, s := range all.Sessions {
		names = append(names, cobra.CompletionWithDesc(s.ID, printable(cutText(s.Query, 60))))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completes asks the daemon; without one there is nothing to complete.
func (c *client) completes(cmd *cobra.Command, path string, v any) bool {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
	defer cancel()
	_, err := c.call(ctx, http.MethodGet, path, nil, v)
	return err == nil
}
