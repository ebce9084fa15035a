// SPDX-License-Identifier: Apache-2.0
// The options of `build`, and those among them that are a query of POST /build.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/flags/checks.h"
#include "cli/flags/flags.h"
#include "http/message.h"

namespace berth::cli {

inline constexpr FlagSpec kBuildFlags[] = {
    {"add-host", 0, "list", "Add a line to /etc/hosts of steps (name:address)", "", check_extra_host},
    {"allow", 0, "strings", "Let steps ask for it (network.host, security.insecure, device)"},
    {"attest", 0, "list", "Accepted where it asks for none: there are no attestations", "", nullptr, "",
     true},
    {"build-arg", 0, "list", "Set a variable that ARG declares; NAME alone takes it from here"},
    {"build-context", 0, "list",
     "Let a name mean another image or files (name=docker-image://IMAGE, oci-layout://DIR:TAG, DIR, URL)"},
    {"builder", 0, "string", "There is one, which is called default", "", nullptr, "", true},
    {"cache-from", 0, "list",
     "Use results of other builds (NAME; type=registry,ref=NAME; type=local,src=DIR)"},
    {"cache-to", 0, "list",
     "Give results to other builds (type=inline; type=registry,ref=NAME; type=local,dest=DIR; mode=max)"},
    {"call", 0, "string", "What to do: build, check, outline, targets (NAME[,format=json])", "build"},
    {"cgroup-parent", 0, "string", "Parent cgroup of steps"},
    {"check", 0, "", "The same as --call=check: what there is to warn of"},
    {"compress", 0, "", "Accepted for compatibility"},
    {"cpu-period", 0, "int", "Period of the CPU quota, in microseconds"},
    {"cpu-quota", 0, "int", "CPU time within a period, in microseconds"},
    {"cpu-shares", 'c', "int", "Relative weight of CPU time"},
    {"cpuset-cpus", 0, "string", "CPUs that steps run on (0-3, 0,1)"},
    {"cpuset-mems", 0, "string", "Memory nodes that steps use (0-3, 0,1)"},
    {"disable-content-trust", 0, "", "Accepted for compatibility", "true", nullptr, "", true},
    {"file", 'f', "string", "Name of the Dockerfile; - is standard input (default PATH/Dockerfile)"},
    {"force-rm", 0, "", "Accepted for compatibility: steps leave nothing"},
    {"iidfile", 0, "string", "Write the image's id to this file"},
    {"isolation", 0, "string", "On Linux there is one, which is called default", "", nullptr, "", true},
    {"label", 0, "list", "Set a label of the image", "", check_label},
    {"load", 0, "", "The same as --output=type=docker"},
    {"memory", 'm', "bytes", "Memory limit of steps"},
    {"memory-swap", 0, "bytes", "Limit of memory and swap together; -1 for no limit"},
    {"metadata-file", 0, "string", "Write what came of it to this file, as JSON"},
    {"network", 0, "string", "Network of steps: default, none, host or a network's name"},
    {"no-cache", 0, "", "Do every step anew"},
    {"no-cache-filter", 0, "strings", "Do every step of these stages anew"},
    {"output", 'o', "list",
     "What becomes of the result (DIR; type=docker|image|registry|oci|tar|local,dest=PATH)"},
    {"platform", 0, "string", "Platform of the image (os[/arch[/variant]])"},
    {"progress", 0, "string", "How to show what is done: auto, plain, tty, rawjson, quiet", "auto"},
    {"provenance", 0, "string", "Accepted where it asks for none: there are no attestations", "", nullptr, "",
     true},
    {"pull", 0, "", "Ask registries for base images even if they are here"},
    {"push", 0, "", "The same as --output=type=registry"},
    {"quiet", 'q', "", "Print the image's id alone"},
    {"rm", 0, "", "Accepted for compatibility: steps leave nothing", "true"},
    {"sbom", 0, "string", "Accepted where it asks for none: there are no attestations", "", nullptr, "",
     true},
    {"secret", 0, "list", "Show a secret to steps that ask for it (id=x,src=FILE; id=x,env=NAME)"},
    {"security-opt", 0, "list", "Not supported", "", nullptr, "", true},
    {"shm-size", 0, "bytes", "Size of /dev/shm of steps"},
    {"squash", 0, "", "Not supported", "", nullptr, "", true},
    {"ssh", 0, "list",
     "Let steps ask an SSH agent, or one that has keys (default; id=SOCKET; id=KEYFILE[,..])"},
    {"tag", 't', "list", "Name of the image (name[:tag])"},
    {"target", 0, "string", "Stop at this stage"},
    {"ulimit", 0, "ulimit", "Set a resource limit of steps (name=soft[:hard])", "", check_ulimit},
};

// Of what was given and of the environment; `names` are the image's. Options that cannot be had are errors.
Result<http::Query> build_query(const Flags& flags, const std::vector<std::string>& names);

}  // namespace berth::cli
