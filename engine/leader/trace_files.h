// Keeps files of traces in a directory, bounded in number and bytes: the oldest make room.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "base/queue.h"

namespace uhd {

// Thread-safe. A thread of its own makes the texts and writes; what comes faster than the disk takes it is
// dropped with a line in the log, and so is what cannot be written. Only files uhd-*.json of the directory
// are counted and removed, those of earlier processes too.
class TraceFiles {
 public:
  // A directory that does not exist is made; one that cannot be is an Error.
  TraceFiles(std::filesystem::path directory, int most_files, int64_t most_bytes);
  ~TraceFiles();  // waits until the last file is written

  // The file appears whole. `name` is what stands between "uhd-" and ".json": names sort by age. `text` is
  // called on the thread that writes, and so is its destructor.
  void write(std::string name, std::function<std::string()> text);

 private:
  struct File {
    std::string name;
    std::function<std::string()> text;
  };
  void save(const File& file) const;
  void make_room(int64_t bytes) const;

  const std::filesystem::path directory_;
  const size_t most_files_;
  const int64_t most_bytes_;
  Queue<File> files_;
  std::thread writer_;
};

}  // namespace uhd
