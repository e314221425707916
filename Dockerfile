# An image with the program and nothing else. Build the program first: make build
FROM scratch
COPY bin/boltgate /boltgate
USER 65534:65534
EXPOSE 7687
ENTRYPOINT ["/boltgate"]
CMD ["run", "-c", "/etc/boltgate/boltgate.yaml"]
