# An image of Lambent itself, for CI systems that run jobs in containers.
#
#   make build
#   docker build -t lambent .
#   docker run --privileged --cgroupns=host -v /dev:/dev -v lambent:/var/lib/lambent lambent doctor
#
# What works with fewer rights is in the README, under "Without root, in containers and in CI".

# The distribution that the program was built on, or a later one: it links the C library.
ARG BASE=debian:stable-slim
FROM ${BASE}

# Certificates of registries; the file system of /tmp; the ids of an ordinary user. Empty
# where the base has them.
ARG PACKAGES="ca-certificates e2fsprogs uidmap"
RUN if [ -n "${PACKAGES}" ]; then \
        apt-get update && \
        apt-get install --yes --no-install-recommends ${PACKAGES} && \
        rm -rf /var/lib/apt/lists/*; \
    fi

# Where `make build` leaves the program.
ARG PROGRAM=target/release/lambent
COPY ${PROGRAM} /usr/local/bin/lambent

# Images, and the files behind /tmp: overlayfs, which containers are on, has no room for them.
VOLUME /var/lib/lambent

ENTRYPOINT ["/usr/local/bin/lambent"]
CMD ["doctor"]
