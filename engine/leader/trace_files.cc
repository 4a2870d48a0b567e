#include "engine/leader/trace_files.h"

#include <algorithm>
#include <fstream>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace uhd {

namespace fs = std::filesystem;

namespace {

constexpr size_t kMostWaiting = 32;

bool is_trace(const fs::path& file) {
  return file.filename().string().starts_with("uhd-") && file.extension() == ".json";
}

}  // namespace

TraceFiles::TraceFiles(fs::path directory, int most_files, int64_t most_bytes)
    : directory_(std::move(directory)),
      most_files_(static_cast<size_t>(most_files)),
      most_bytes_(most_bytes),
      files_(kMostWaiting) {
  std::error_code failed;
  fs::create_directories(directory_, failed);
  require(fs::is_directory(directory_), "trace.dir: cannot make the directory ", directory_.string(), ": ",
          failed.message());
  writer_ = std::thread([this] {
    while (const auto file = files_.pop()) {
      try {
        save(*file);
      } catch (const std::exception& e) {
        log_warning("a trace could not be written", "name", file->name, "why", e.what());
      }
    }
  });
}

TraceFiles::~TraceFiles() {
  files_.close();
  writer_.join();
}

void TraceFiles::write(std::string name, std::function<std::string()> text) {
  if (files_.try_push({std::move(name), std::move(text)})) return;
  log_warning("a trace is dropped: they come faster than they are written");
}

void TraceFiles::save(const File& file) const {
  const std::string text = file.text();
  const auto bytes = static_cast<int64_t>(text.size());
  require(bytes <= most_bytes_, "it has ", bytes, " bytes (trace.total_bytes)");
  make_room(bytes);
  const fs::path draft = directory_ / ("uhd-" + file.name + ".draft");
  {
    std::ofstream out(draft, std::ios::binary);
    out << text;
    out.close();
    if (!out) {
      std::error_code ignored;
      fs::remove(draft, ignored);
      throw Error(message("cannot write ", draft.string()));
    }
  }
  fs::rename(draft, directory_ / ("uhd-" + file.name + ".json"));
}

void TraceFiles::make_room(int64_t bytes) const {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
    if (entry.is_regular_file() && is_trace(entry.path())) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  std::vector<int64_t> sizes;
  int64_t sum = bytes;
  for (const fs::path& file : files) sum += sizes.emplace_back(static_cast<int64_t>(fs::file_size(file)));
  for (size_t i = 0; i < files.size() && (sum > most_bytes_ || files.size() - i >= most_files_); ++i) {
    fs::remove(files[i]);
    sum -= sizes[i];
  }
}

}  // namespace uhd
