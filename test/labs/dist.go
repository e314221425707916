package labs

// This file owns what differs between versions of the server: artifacts, Java, main classes, the first password, and our launcher for the
// one version that was published without its own.

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/boltgate/boltgate/test/labs/jars"
)

//go:embed hashes/*.sha256
var hashes embed.FS

//go:embed testdata/EnterpriseLauncher.java
var enterpriseLauncher []byte

// distribution is one version of the server.
type distribution struct {
	name        string // of its folder in the cache and of its list of sums
	version     string
	coordinates []string
	java        [2]int // oldest and newest JDK that it runs on
	main        string
	launcher    []byte   // Java source of main when no jar has it
	admin       []string // class and arguments before the new password
	password    string   // 5.x wants at least eight characters
	settings    settingNames
}

var (
	enterprise35 = &distribution{
		name:        "enterprise-3.5.0-beta03",
		version:     "3.5.0-beta03",
		coordinates: []string{"org.neo4j.app:neo4j-server-enterprise:3.5.0-beta03", "org.neo4j:neo4j-enterprise:3.5.0-beta03"},
		java:        [2]int{8, 17},
		main:        "EnterpriseLauncher",
		launcher:    enterpriseLauncher,
		admin:       []string{"org.neo4j.commandline.admin.AdminTool", "set-initial-password"},
		password:    "test",
		settings:    settings3,
	}
	community44 = community("4.4.48", [2]int{11, 17}, "org.neo4j.server.CommunityEntryPoint", settings4)
	community5  = community("5.26.30", [2]int{17, 21}, "org.neo4j.server.CommunityEntryPoint", settings5)
	community26 = community("2026.08.1", [2]int{21, 99}, "org.neo4j.server.Neo4jCommunity", settings5)
)

func community(version string, java [2]int, main string, names settingNames) *distribution {
	admin := []string{"org.neo4j.cli.AdminTool", "dbms", "set-initial-password"}
	if strings.HasPrefix(version, "4.") {
		admin = []string{"org.neo4j.cli.AdminTool", "set-initial-password"}
	}
	return &distribution{
		name:        "community-" + version,
		version:     version,
		coordinates: []string{"org.neo4j:neo4j:" + version, "org.neo4j.app:neo4j-server:" + version},
		java:        java,
		main:        main,
		admin:       admin,
		password:    "boltgate-labs",
		settings:    names,
	}
}

// opens lets 3.x and 4.x reach into packages that Java closed after they were written. Later servers need a few of them, and mind none.
var opens = []string{
	"java.base/java.lang", "java.base/java.nio", "java.base/sun.nio.ch", "java.base/java.util", "java.base/java.util.concurrent",
	"java.base/java.util.concurrent.atomic", "java.base/java.net", "java.base/java.io", "java.base/jdk.internal.misc",
	"java.base/jdk.internal.ref", "java.base/java.lang.reflect", "java.base/java.lang.invoke", "java.base/java.text", "java.base/java.time",
	"java.base/sun.security.ssl", "java.base/java.security", "java.management/sun.management", "java.management/com.sun.jmx.mbeanserver",
	"jdk.management/com.sun.management.internal",
}

// jvm keeps a server small and quick to start: on two cores the optimizing compiler and the concurrent collector take more than they give.
var jvm = []string{"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xms200m", "-Xmx400m", "-Dfile.encoding=UTF-8", "-Djava.awt.headless=true"}

// install is a distribution that is ready to run.
type install struct {
	*distribution
	jdk       jars.JDK
	classpath string
	cache     string // folder of this distribution in the cache
}

func (d *distribution) set() jars.Set {
	list, _ := hashes.ReadFile("hashes/" + d.name + ".sha256") // a missing list is empty, which Fetch refuses
	return jars.Set{Name: d.name, Coordinates: d.coordinates, Hashes: string(list)}
}

// install fetches and checks the jars and compiles the launcher.
func (d *distribution) install(ctx context.Context) (*install, error) {
	jdk, err := jars.FindJDK(d.java[0], d.java[1])
	if err != nil {
		return nil, err
	}
	lib, err := d.set().Fetch(ctx)
	if err != nil {
		return nil, err
	}
	in := &install{d, jdk, filepath.Join(lib, "*"), filepath.Dir(lib)}
	if d.launcher != nil {
		classes, err := in.compile(ctx)
		if err != nil {
			return nil, err
		}
		in.classpath = classes + string(os.PathListSeparator) + in.classpath
	}
	return in, nil
}

// compile compiles the launcher; its source is written beside the classes, and equal source is not compiled again.
func (in *install) compile(ctx context.Context) (classes string, err error) {
	classes = filepath.Join(in.cache, "launcher")
	source := filepath.Join(classes, in.main+".java")
	if old, err := os.ReadFile(source); err == nil && string(old) == string(in.launcher) {
		return classes, nil
	}
	pending := filepath.Join(classes, "new", in.main+".java")
	if err := os.MkdirAll(filepath.Dir(pending), 0o755); err != nil {
		return "", fmt.Errorf("labs: launcher: %w", err)
	}
	if err := os.WriteFile(pending, in.launcher, 0o644); err != nil {
		return "", fmt.Errorf("labs: launcher: %w", err)
	}
	out, err := exec.CommandContext(ctx, in.jdk.Tool("javac"), "-proc:none", "-nowarn", "-cp", in.classpath, "-d", classes, pending).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("labs: cannot compile the launcher of %s: %w\n%s", in.name, err, out)
	}
	if err := os.Rename(pending, source); err != nil {
		return "", fmt.Errorf("labs: launcher: %w", err)
	}
	return classes, nil
}

// authFile returns the file that makes a new server know the user neo4j and the lab's password. The admin tool makes it once; it is kept in
// the cache, because starting a JVM for each server costs more than starting the server does.
func (in *install) authFile(ctx context.Context) (string, error) {
	kept := filepath.Join(in.cache, "auth-"+in.password+".ini")
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	home := filepath.Join(in.cache, "auth-home")
	if err := errors.Join(os.RemoveAll(home), os.MkdirAll(filepath.Join(home, "conf"), 0o755),
		os.WriteFile(filepath.Join(home, "conf", "neo4j.conf"), nil, 0o644)); err != nil {
		return "", fmt.Errorf("labs: first password: %w", err)
	}
	defer os.RemoveAll(home)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	args := append(in.javaArgs(), in.admin...)
	cmd := exec.CommandContext(ctx, in.jdk.Tool("java"), append(args, in.password)...)
	cmd.Env = append(cleanEnv(), "NEO4J_HOME="+home, "NEO4J_CONF="+filepath.Join(home, "conf"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("labs: the admin tool of %s could not set the first password: %w\n%s", in.name, err, out)
	}
	if err := os.Rename(filepath.Join(home, "data", "dbms", in.settings.authFile), kept); err != nil {
		return "", fmt.Errorf("labs: first password: %w", err)
	}
	return kept, nil
}

func (in *install) javaArgs() []string {
	args := append([]string(nil), jvm...)
	for _, o := range opens {
		args = append(args, "--add-opens", o+"=ALL-UNNAMED")
	}
	return append(args, "-cp", in.classpath)
}

// cleanEnv is the environment without what would change a server behind our back.
func cleanEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "NEO4J_") || name == "JAVA_TOOL_OPTIONS" || name == "_JAVA_OPTIONS" || name == "JDK_JAVA_OPTIONS" || name == "CLASSPATH" {
			continue
		}
		env = append(env, kv)
	}
	return env
}
