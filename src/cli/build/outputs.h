// SPDX-License-Identifier: Apache-2.0
// --output, --push, --load, --metadata-file and --iidfile: what becomes of a build's result. The engine holds
// the result for us until it is written (api/build_results.h), unless an image of the engine is all that is
// wanted.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "cli/context.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

struct BuildOutput {
  enum class Kind {
    image,           // of the engine
    docker_archive,  // what `save` writes
    oci_archive,     // an OCI layout
    tree,            // the file system
  };
  Kind kind = Kind::image;
  bool push = false;        // of an image
  bool directory = false;   // of the others: as a directory, not as a tar
  std::string destination;  // of the others: a path; "-" is standard output
};

struct BuildOutputs {
  std::vector<BuildOutput> list;   // at least one
  std::vector<std::string> names;  // of the image
  std::string held_as;             // what the engine holds the result by
  bool held = false;               // whether it has to
  std::string metadata_file, id_file;

  bool records() const;             // an image of the engine is wanted
  bool describes_image() const;     // an image is wanted, wherever
  bool to_standard_output() const;  // then nothing else may be said there
};

Result<BuildOutput> parse_output(const std::string& text, std::vector<std::string>& names);

// Of the flags. Errors name the option; a destination that can't be written to is one before the build
// begins. `held`: also for something else than an output.
Result<BuildOutputs> choose_outputs(const Flags& flags, bool held = false);
Result<void> check_destinations(const BuildOutputs& outputs);
// When it is about to begin.
void forget_descriptions(const BuildOutputs& outputs);

// What the engine has to know of it: members of the build's preamble.
void add_to_preamble(const BuildOutputs& outputs, boost::json::object& preamble);

// For a build whose result goes to standard output: what is said goes to standard error from here on. Returns
// where the result is to go.
Result<Fd> take_standard_output();

// After the build: fetches, unpacks, pushes; `image` is its id. `standard_output` is for "-".
Result<void> write_outputs(Context& context, const BuildOutputs& outputs, const std::string& image,
                           int standard_output, bool quiet);
// Lets go of what the engine holds.
void release_result(Context& context, const BuildOutputs& outputs);

}  // namespace berth::cli
