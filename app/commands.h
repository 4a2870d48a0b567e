// The program `uhd` has one function and one file for each subcommand. A function adds its subcommand with
// its options, its help and a callback. The callback does the work and throws Error (one line for the user,
// exit status 1), UsageError (the same with status 2) or CLI::RuntimeError (that exit status, nothing
// printed).
#pragma once

#include <string>

#include "kernels/weight.h"

namespace CLI {
class App;
}

namespace uhd {

void add_serve_command(CLI::App& app);       // serve.cc
void add_generate_command(CLI::App& app);    // generate.cc
void add_slices_command(CLI::App& app);      // slices.cc
void add_check_command(CLI::App& app);       // check.cc
void add_plan_command(CLI::App& app);        // plan.cc
void add_bench_command(CLI::App& app);       // bench.cc
void add_calibrate_command(CLI::App& app);   // calibrate.cc
void add_completion_command(CLI::App& app);  // completion.cc
void add_batch_command(CLI::App& app);       // batch.cc
void add_tokenize_command(CLI::App& app);    // tokenize.cc

// Returns the format that an option's value names; the value was checked to name one (check.cc).
WeightFormat format_named(const std::string& name);

// Prints versions, devices and the result of each operation, for people or as one JSON object
// (check_backend.cc). Returns false if one is wrong.
bool check_backend(const std::string& kind, bool as_json);

}  // namespace uhd
