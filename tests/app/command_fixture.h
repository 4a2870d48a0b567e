// Runs the program in a directory of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <string>

#include "tests/support/temporary_directory.h"

namespace uhd {

class Command : public testing::Test {
 protected:
  explicit Command(std::string subcommand) : subcommand_(std::move(subcommand)) {}

  // Returns the output of both streams; status() is the status of this run.
  std::string run(const std::string& arguments) {
    const std::string command = "cd '" + directory_.path().string() + "' && '" UHD_PROGRAM "' " +
                                subcommand_ + " " + arguments + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) output += static_cast<char>(c);
    status_ = WEXITSTATUS(pclose(pipe));
    return output;
  }
  int status() const { return status_; }
  const std::filesystem::path& directory() const { return directory_.path(); }
  std::string write(const std::string& name, const std::string& bytes) {
    directory_.write(name, bytes);
    return name;
  }

 private:
  std::string subcommand_;
  TemporaryDirectory directory_;
  int status_ = 0;
};

}  // namespace uhd
