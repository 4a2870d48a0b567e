// Reads the central directory of a zip file whose entries are stored, as PyTorch writes them.
#pragma once

#include <map>
#include <span>
#include <string>

namespace uhd {

// Returns each entry's bytes inside `file` by its name. Zip64 is understood; compression, encryption, several
// disks, names given twice and places outside the file are each an Error.
std::map<std::string, std::span<const std::byte>> read_zip_directory(std::span<const std::byte> file,
                                                                     const std::string& name);

}  // namespace uhd
