package cypher

// This file owns the built-in table of procedures: those of Neo4j 2.x to 2026 as the servers list them with their modes (3.5, 4.4,
// 5.26 and 2026.08) and the manuals name the rest, and those of APOC from 3.0 on, as its annotations give them. The families of
// GDS follow a rule (procedures.go).
//
// A mode is where the table begins, not where it ends, for mode READ is also carried by procedures that act:
//   - apoc.cypher.runTimeboxed, parallel and the other runners open transactions of their own, in which the text they are given
//     may write; apoc.export.* writes files, apoc.es.post and its kin write to other systems, apoc.systemdb.execute to the
//     database system. They count as writes that commit by themselves.
//   - kills, checkpoints, caches and statistics act on the member that is asked: writes, on one member.
//   - what reads files, memory or settings of the member that is asked is a read that concerns one member.
// Mode DBMS says nothing about writing: each of those was placed by what it does.

var builtinProcedures = []struct {
	procedure
	names string // a word that ends in a dot is put before those that follow it
}{
	{procedure{access: Read}, `
		ai.text. embedBatch
		apoc.algo. aStar aStarConfig aStarWithPoint allSimplePaths betweenness cliques cliquesWithNode closeness cover
		dijkstra dijkstraWithDefaultWeight pageRank pageRankWithConfig travellingSalesman wcc
		apoc.bitwise. op
		apoc. case help when
		apoc.cluster. graph
		apoc.coll. avg contains containsAll containsAllSorted containsSorted disjunction elements indexOf intersection max min
		pairWithOffset pairs pairsMin partition removeAll sort sortMaps sortNodes split subtract sum sumLongs toSet union
		unionAll zip zipToRows
		apoc.convert. fromJsonList fromJsonMap getJsonProperty getJsonPropertyMap toBoolean toJson toList toMap toNode
		toRelationship toSet toString toTree
		apoc.couchbase. exists get
		apoc.create. clonePathToVirtual clonePathsToVirtual uuid uuids vNode vNodes vPattern vPatternFull vRelationship
		virtualPath
		apoc.custom. list show
		apoc.cypher. run
		apoc.data. domain
		apoc.date. fields fieldsDefault format formatDefault formatTimeZone parse parseDefault systemTimezone
		apoc.diff. graphs
		apoc.dv. catalog.list catalog.show query queryAndLink
		apoc.es. get getRaw query stats
		apoc.export. arrow.stream.all arrow.stream.graph arrow.stream.query parquet.all.stream parquet.data.stream
		parquet.graph.stream parquet.query.stream
		apoc.get. nodes rels
		apoc.graph. filterProperties from fromCypher fromDB fromData fromPath fromPaths validateDocument
		apoc.index. orderedByText orderedRange related
		apoc.map. clean flatten fromLists fromNodes fromPairs fromValues groupBy groupByMulti merge mergeList removeKey
		removeKeys setEntry setKey setLists setPairs setValues
		apoc.math. regr
		apoc.meta. data data.of graph graph.of graphSample isType nodeTypeProperties relTypeProperties schema stats subGraph
		type types
		apoc.ml. bedrock.chat bedrock.completion bedrock.custom bedrock.embedding bedrock.image bedrock.list cypher
		mixedbread.custom mixedbread.embedding openai.chat openai.completion openai.embedding sagemaker.chat
		sagemaker.completion sagemaker.custom sagemaker.embedding schema vertexai.chat vertexai.completion vertexai.custom
		vertexai.embedding vertexai.stream watson.chat watson.completion watson.embedding
		apoc.mongo. aggregate count find
		apoc.mongodb. count find first get get.byObjectId
		apoc.neighbors. athop athop.count byhop byhop.count tohop tohop.count
		apoc.nlp. aws.entities.stream aws.keyPhrases.stream aws.sentiment.stream azure.entities.stream azure.keyPhrases.stream
		azure.sentiment.stream gcp.classify.stream gcp.entities.stream
		apoc.node. relationship.exists
		apoc.nodes. collapse cycles get group isDense rels
		apoc.number. format format.lang format.pattern format.pattern.lang parseFloat parseFloat.lang parseFloat.pattern
		parseFloat.pattern.lang parseInt parseInt.lang parseInt.pattern parseInt.pattern.lang
		apoc.path. expand expandConfig spanningTree subgraphAll subgraphNodes
		apoc.paths. toJsonTree
		apoc.redis. configGet exists get hexists hget hgetall info lrange pttl scard smembers sunion zcard zrangebyscore
		apoc.schema. properties.distinct properties.distinctCount
		apoc.scoring. existence pareto
		apoc.search. multiSearchReduced node nodeAll nodeAllReduced nodeReduced
		apoc.spatial. geocode geocodeOnce reverseGeocode sortByDistance
		apoc.stats. degrees
		apoc.text. clean compareCleaned doubleMetaphone filterCleanMatches format join lpad phonetic phoneticDelta replace
		rpad urldecode urlencode
		apoc.trigger. list show
		apoc.util. md5 sha1 sleep validate
		apoc.uuid. list show
		apoc.vectordb. chroma.get chroma.info chroma.query custom milvus.get milvus.info milvus.query pinecone.get
		pinecone.info pinecone.query qdrant.get qdrant.info qdrant.query weaviate.get weaviate.info weaviate.query
		cdc. current earliest query
		db.cdc. current earliest query translateId
		db. constraints indexDetails indexes info labels ping propertyKeys relationshipTypes schema schemaStatements
		db.index. explicit.auto.searchNodes explicit.auto.searchRelationships explicit.auto.seekNodes
		explicit.auto.seekRelationships explicit.existsForNodes explicit.existsForRelationships explicit.list
		explicit.searchNodes explicit.searchRelationships explicit.searchRelationshipsBetween explicit.searchRelationshipsIn
		explicit.searchRelationshipsOut explicit.seekNodes explicit.seekRelationships fulltext.listAvailableAnalyzers
		fulltext.queryNodes fulltext.queryRelationships vector.queryNodes vector.queryRelationships
		db.schema. nodeTypeProperties relTypeProperties visualization
		dbms. clientConfig components functions info listCapabilities procedures
		dbms.cluster. overview routing.getRoutingTable routing.getServers
		dbms.routing. getRoutingTable
		fleetManagement. reportedData status
		genai.vector. encodeBatch listEncodingProviders
		tx. getMetaData setMetaData`},
	{procedure{access: Read, system: true}, `
		apoc.systemdb. export.metadata graph
		dbms.cluster. statusCheck
		dbms.databases. overview
		dbms. showTopologyGraphConfig upgradeStatus`},
	{procedure{access: Read, oneMember: true}, `
		apoc.config. list map
		apoc.json. validate
		apoc.load. arrow arrow.stream csv csvParams directory directory.async.list driver gexf html htmlPlainText jdbc
		jdbcParams json jsonArray jsonParams ldap parquet stringPartial xls xml xmlSimple
		apoc.lock. read.nodes read.rels
		apoc.log. stream
		apoc.metrics. get list storage
		apoc.monitor. ids kernel locks store tx
		apoc.periodic. list
		apoc.static. get getAll list
		apoc.warmup. run
		db. awaitIndex awaitIndexes
		db.index. fulltext.awaitEventuallyConsistentIndexRefresh
		db.stats. retrieve retrieveAllAnonymized status
		dbms. checkConfigValue listActiveLocks listConfig listConnections listPools listQueries listSessions listTransactions
		queryJmx showCurrentUser
		dbms.cluster. checkConnectivity protocols role showParallelDiscoveryState
		dbms.database. state
		dbms.scheduler. failedJobs groups jobs
		dbms.security. listPrivileges listRoles listRolesForUser listUsers listUsersForRole showCurrentUser
		fleetManagement. inspectToken`},
	{procedure{access: Write}, `
		apoc.atomic. add concat insert remove subtract update
		apoc.convert. setJsonProperty
		apoc.create. addLabels node nodes relationship removeLabels removeProperties removeRelProperties setLabels
		setProperties setProperty setRelProperties setRelProperty
		apoc.cypher. doIt doit runWrite
		apoc.date. expire expireIn
		apoc.do. case when
		apoc.example. movies
		apoc.graph. fromDocument
		apoc.index. addNode addNodeByLabel addNodeByName addNodeMap addNodeMapByName addRelationship addRelationshipByName
		addRelationshipMap addRelationshipMapByName between forNodes forRelationships in list nodes out relationships remove
		removeNodeByName removeRelationshipByName search
		apoc.lock. all nodes rels
		apoc.merge. node node.eager nodeWithStats nodeWithStats.eager relationship relationship.eager relationshipWithStats
		relationshipWithStats.eager
		apoc.nlp. aws.entities.graph aws.keyPhrases.graph aws.sentiment.graph azure.entities.graph azure.keyPhrases.graph
		azure.sentiment.graph gcp.classify.graph gcp.entities.graph
		apoc.node. match
		apoc.nodes. link
		apoc.refactor. categorize cloneNodes cloneNodesWithRelationships cloneSubgraph cloneSubgraphFromPaths collapseNode
		deleteAndReconnect extractNode from invert mergeNodes mergeRelationships normalizeAsBoolean setType to
		apoc.rel. match
		apoc.ttl. expire expireIn
		db.create. setNodeVectorProperty setRelationshipVectorProperty setVectorProperty
		db. createIndex createLabel createNodeKey createProperty createRelationshipType createUniquePropertyConstraint
		db.index. explicit.addNode explicit.addRelationship explicit.drop explicit.forNodes explicit.forRelationships
		explicit.removeNode explicit.removeRelationship fulltext.createNodeIndex fulltext.createRelationshipIndex
		fulltext.drop vector.createNodeIndex`},
	{procedure{access: Write, commits: true}, `
		apoc.algo. betweennessCypher community pageRankStats pageRankWithCypher
		apoc.bolt. execute load load.fromLocal
		apoc.couchbase. append insert namedParamsQuery posParamsQuery prepend query remove replace upsert
		apoc.custom. asFunction asProcedure declareFunction declareProcedure dropAll dropFunction dropProcedure
		installFunction installProcedure removeFunction removeProcedure
		apoc.cypher. mapParallel mapParallel2 parallel parallel2 runFile runFileReadOnly runFiles runFilesReadOnly runMany
		runManyReadOnly runSchema runSchemaFile runSchemaFiles runTimeboxed
		apoc.dv. catalog.add catalog.drop catalog.install catalog.remove
		apoc.es. delete post postRaw put
		apoc.generate. ba complete er simple ws
		apoc.gephi. add
		apoc.import. arrow csv gexf graphml json parquet xml
		apoc.index. addAllNodes addAllNodesExtended
		apoc.jdbc. analytics
		apoc.load. directory.async.add jdbcUpdate
		apoc.ml. fromCypher fromQueries query rag
		apoc.model. jdbc
		apoc.mongo. delete insert update
		apoc.mongodb. delete insert update
		apoc.nodes. delete
		apoc.periodic. commit countdown iterate repeat rock_n_roll rock_n_roll_while submit submitSchema truncate
		apoc.redis. append configSet copy eval getSet hdel hincrby hset incrby persist pexpire pop push sadd spop zadd zrem
		apoc.refactor. rename.label rename.nodeProperty rename.type rename.typeProperty
		apoc.schema. assert nodes relationships
		apoc.trigger. add drop dropAll install pause remove removeAll resume start stop
		apoc.uuid. drop dropAll install remove removeAll setup
		apoc.vectordb. chroma.createCollection chroma.delete chroma.deleteCollection chroma.getAndUpdate chroma.queryAndUpdate
		chroma.upsert configure custom.get milvus.createCollection milvus.delete milvus.deleteCollection milvus.getAndUpdate
		milvus.queryAndUpdate milvus.upsert pinecone.createCollection pinecone.delete pinecone.deleteCollection
		pinecone.getAndUpdate pinecone.queryAndUpdate pinecone.upsert qdrant.createCollection qdrant.delete
		qdrant.deleteCollection qdrant.getAndUpdate qdrant.queryAndUpdate qdrant.upsert weaviate.createCollection
		weaviate.delete weaviate.deleteCollection weaviate.getAndUpdate weaviate.queryAndUpdate weaviate.upsert
		apoc.xml. import`},
	{procedure{access: Write, commits: true, system: true}, `
		dbms.cluster. cordonServer deallocateDatabaseFromServer deallocateDatabaseFromServers deallocateNumberOfDatabases
		quarantineDatabase reallocateDatabase reallocateNumberOfDatabases recreateDatabase setAutomaticallyEnableFreeServers
		setDefaultDatabase uncordonServer
		dbms. quarantineDatabase recreateDatabase setDatabaseAllocator setDefaultAllocationNumbers unquarantineDatabase
		upgrade`},
	{procedure{access: Write, commits: true, system: true, users: true}, `
		apoc.systemdb. execute
		dbms. changePassword
		dbms.security. activateUser addRoleToUser changePassword changeUserPassword createRole createUser deleteRole
		deleteUser removeRoleFromUser suspendUser`},
	{procedure{access: Write, commits: true, oneMember: true}, `
		apoc.export. arrow.all arrow.graph arrow.query csv.all csv.data csv.graph csv.query cypher.all cypher.data
		cypher.graph cypher.query cypher.schema cypherAll cypherData cypherGraph cypherQuery graphml.all graphml.data
		graphml.graph graphml.query json.all json.data json.graph json.query parquet.all parquet.data parquet.graph
		parquet.query xls.all xls.data xls.graph xls.query
		apoc.load. directory.async.remove directory.async.removeAll
		apoc.log. debug error info warn
		apoc.periodic. cancel
		apoc.static. set
		db. checkpoint clearQueryCaches prepareForReplanning resampleIndex resampleOutdatedIndexes
		db.stats. clear collect stop
		dbms. checkpoint clearQueryCaches killConnection killConnections killQueries killQuery killTransaction
		killTransactions setConfigValue terminateTransaction
		dbms.cluster. moveToNextDiscoveryVersion readReplicaToggle secondaryReplicationDisable switchDiscoveryServiceVersion
		dbms.scheduler. profile
		dbms.security. clearAuthCache
		fleetManagement. debugLogging disable registerToken restart`},
}
