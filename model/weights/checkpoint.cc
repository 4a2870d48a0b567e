#include "model/weights/checkpoint.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/error.h"
#include "base/mapped_file.h"
#include "model/json_file.h"
#include "model/weights/safetensors.h"
#include "model/weights/torch_archive.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_ending(const fs::path& directory, std::string_view ending) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (!entry.is_directory() && entry.path().filename().string().ends_with(ending)) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

Checkpoint::Checkpoint(const fs::path& directory) : directory_(directory) {
  require(fs::is_directory(directory), directory.string(), " is not a directory with a model");
  read_all();
}

void Checkpoint::read_all() {
  for (const char* form : {"model.safetensors", "pytorch_model.bin"}) {
    if (is_there(directory_ / form)) return read_file(directory_ / form);
    const fs::path index = directory_ / (std::string(form) + ".index.json");
    if (is_there(index)) return read_sharded(index);
  }
  for (const fs::path& path : files_ending(directory_, ".safetensors")) read_file(path);
  if (!files_.empty()) return;
  throw Error(directory_.string() +
              " holds no weights: neither *.safetensors nor pytorch_model.bin, nor an index of either");
}

const Tensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Checkpoint::Files::const_iterator Checkpoint::file_of(const Tensor& tensor) const {
  const auto* data = static_cast<const std::byte*>(tensor.raw());
  return std::ranges::find_if(files_, [&](const auto& file) {
    return data >= file->bytes().data() && data < file->bytes().data() + file->bytes().size();
  });
}

void Checkpoint::drop(const Tensor& tensor) const {
  const auto bytes = static_cast<size_t>(tensor.rows() * tensor.row_stride()) * size_of(tensor.dtype());
  const auto file = file_of(tensor);
  if (file != files_.end()) (*file)->drop(static_cast<const std::byte*>(tensor.raw()), bytes);
}

void Checkpoint::drop_all() const {
  for (const auto& file : files_) file->drop(file->bytes().data(), file->bytes().size());
}

std::shared_ptr<const void> Checkpoint::hold(const Tensor& tensor) const {
  const auto file = file_of(tensor);
  if (file == files_.end()) return nullptr;
  (*file)->read_ahead(static_cast<const std::byte*>(tensor.raw()), tensor.bytes());
  return *file;
}

std::optional<Checkpoint::Place> Checkpoint::place_of(const Tensor& tensor) const {
  const auto found = file_of(tensor);
  if (found == files_.end()) return {};
  const MappedFile& file = **found;
  return Place{file_names_[static_cast<size_t>(found - files_.begin())], file.bytes().size(), file.modified(),
               static_cast<uint64_t>(static_cast<const std::byte*>(tensor.raw()) - file.bytes().data())};
}

void Checkpoint::read_file(const fs::path& path) {
  const MappedFile& file = *files_.emplace_back(std::make_shared<MappedFile>(path));
  file_names_.push_back(path.filename().string());
  FileTensors read = path.extension() == ".bin" ? read_torch_archive(file.bytes(), path.string())
                                                : read_safetensors(file.bytes(), path.string());
  for (const auto& [name, tensor] : read.tensors) {
    require(tensors_.emplace(name, tensor).second, path.string(), ": tensor ", name,
            " is in another file of this checkpoint too");
  }
  for (auto& copy : read.copies) copies_.push_back(std::move(copy));
}

void Checkpoint::read_sharded(const fs::path& index) {
  const boost::json::value json = read_json_file(index);
  const auto* weight_map = json_member(json, "weight_map");
  require(weight_map != nullptr && weight_map->is_object(), index.string(), ": weight_map must be an object");
  std::set<std::string> shards;
  for (const auto& member : weight_map->get_object()) {
    require(member.value().is_string(), index.string(), ": the file of ", std::string_view(member.key()),
            " must be a string");
    const std::string shard(member.value().get_string());
    require(!shard.empty() && fs::path(shard).filename() == shard && shard != "." && shard != "..",
            index.string(), ": '", shard, "' is not the name of a file beside it");
    shards.insert(shard);
  }
  for (const std::string& shard : shards) read_file(directory_ / shard);
  for (const auto& member : weight_map->get_object()) {
    require(tensors_.contains(std::string(member.key())), index.string(), ": tensor ",
            std::string_view(member.key()), " is not in ", std::string_view(member.value().get_string()));
  }
}

}  // namespace uhd
