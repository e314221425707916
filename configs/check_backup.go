package configs

import (
	"fmt"
	"path/filepath"
)

// This file owns the checks of backup.

func (c *checker) backup() {
	for name, job := range c.config.Backup {
		key := fmt.Sprintf("backup[%q]", name)
		if !isName(name) { // not by fault, which would leave it out where the job has another one
			c.faults = append(c.faults, c.place(key, "the name of a job has 1 to 63 letters, digits, dots, dashes and underscores, and begins with a letter or digit"))
		}
		if job.Watch == "" {
			c.fault(key+".watch", "needs the files that the job leaves, such as /backups/neo4j/*.backup")
		} else if _, err := filepath.Match(job.Watch, ""); err != nil {
			c.fault(key+".watch", "expected a path, in which * ? and [a-z] stand for what differs; a [ is not closed, or a \\ has nothing behind it (found %s)", c.words(key+".watch", job.Watch))
		}
		if job.Every == 0 && !c.faults.under(key+".every_file") {
			c.fault(key+".every", "needs how old the newest of its files may be, such as 26h for a job that runs each day")
		}
	}
}
