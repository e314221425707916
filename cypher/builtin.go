package cypher

// This file owns the built-in table of procedures.

var builtinProcedures = []struct {
	procedure
	names string
}{
	{procedure{access: Read}, "db.labels db.relationshipTypes db.propertyKeys db.indexes db.constraints db.schema " +
		"db.schema.visualization db.schema.nodeTypeProperties db.schema.relTypeProperties db.index.fulltext.queryNodes " +
		"db.index.fulltext.queryRelationships db.index.vector.queryNodes db.index.vector.queryRelationships db.ping " +
		"dbms.components dbms.procedures dbms.functions"},
}
