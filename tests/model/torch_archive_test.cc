#include "model/weights/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "base/error.h"

namespace uhd {
namespace {

using ::testing::HasSubstr;

std::string little(uint64_t value, int bytes) {
  return std::string(reinterpret_cast<const char*>(&value), static_cast<size_t>(bytes));
}
std::string floats(std::initializer_list<float> values) {
  return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * 4);
}

struct ZipOptions {
  int method = 0;
  uint64_t size_lie = 0;  // added to the size in the directory
  uint64_t place_lie = 0;
  bool zip64 = false;
};

std::string zip(const std::vector<std::pair<std::string, std::string>>& entries,
                const ZipOptions& options = {}) {
  std::string file;
  std::string directory;
  for (const auto& [name, content] : entries) {
    const uint64_t size = content.size() + options.size_lie;
    const uint64_t place = file.size() + options.place_lie;
    file += little(0x04034b50, 4) + std::string(14, '\0') + little(content.size(), 4) +
            little(content.size(), 4) + little(name.size(), 2) + little(0, 2) + name + content;
    const std::string extra =
        options.zip64 ? little(1, 2) + little(24, 2) + little(size, 8) + little(size, 8) + little(place, 8)
                      : "";
    const auto field = [&](uint64_t value) {
      return options.zip64 ? little(0xffffffff, 4) : little(value, 4);
    };
    directory += little(0x02014b50, 4) + std::string(6, '\0') + little(options.method, 2) +
                 std::string(8, '\0') + field(size) + field(size) + little(name.size(), 2) +
                 little(extra.size(), 2) + std::string(10, '\0') + field(place) + name + extra;
  }
  const uint64_t at = file.size();
  file += directory;
  if (options.zip64) {
    const uint64_t end64 = file.size();
    file += little(0x06064b50, 4) + std::string(20, '\0') + little(entries.size(), 8) +
            little(entries.size(), 8) + little(directory.size(), 8) + little(at, 8);
    file += little(0x07064b50, 4) + little(0, 4) + little(end64, 8) + little(1, 4);
    return file + little(0x06054b50, 4) + std::string(4, '\0') + little(0xffff, 2) + little(0xffff, 2) +
           little(0xffffffff, 4) + little(0xffffffff, 4) + little(0, 2);
  }
  return file + little(0x06054b50, 4) + std::string(4, '\0') + little(entries.size(), 2) +
         little(entries.size(), 2) + little(directory.size(), 4) + little(at, 4) + little(0, 2);
}

std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
std::string number(int64_t value) { return "J" + little(static_cast<uint64_t>(value), 4); }
std::string numbers(std::initializer_list<int64_t> values) {
  std::string tuple = "(";
  for (const int64_t value : values) tuple += number(value);
  return tuple + "t";
}
std::string storage(int64_t elements, const std::string& type = "FloatStorage") {
  return "(" + text("storage") + "ctorch\n" + type + "\n" + text("0") + text("cpu") + number(elements) + "tQ";
}
std::string tensor(int64_t offset, const std::string& sizes, const std::string& strides,
                   int64_t elements = 6) {
  return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage(elements) + number(offset) + sizes + strides +
         "\x89"
         "ccollections\nOrderedDict\n)RtR";
}
std::string dict(const std::string& value) { return "\x80\x02}(" + text("w") + value + "u."; }

std::string archive(const std::string& pickle, const ZipOptions& options = {}) {
  return zip({{"archive/data.pkl", pickle}, {"archive/data/0", floats({0, 1, 2, 3, 4, 5})}}, options);
}
FileTensors read(const std::string& file) {
  return read_torch_archive(std::as_bytes(std::span(file.data(), file.size())), "model.bin");
}
std::string archive_failure(const std::string& file) {
  try {
    read(file);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(TorchArchive, ReadsDenseAndStridedTensors) {
  const std::string plain = archive(dict(tensor(0, numbers({2, 3}), numbers({3, 1}))));
  const FileTensors dense = read(plain);
  EXPECT_EQ(dense.tensors.at("w").shape(), (Shape{2, 3}));
  EXPECT_EQ(dense.tensors.at("w").row<float>(1)[0], 3.0f);
  const FileTensors turned = read(archive(dict(tensor(0, numbers({3, 2}), numbers({1, 3})))));
  const Tensor& w = turned.tensors.at("w");
  EXPECT_EQ(std::vector<float>(w.data<float>(), w.data<float>() + 6), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  const std::string parameter = "ctorch._utils\n_rebuild_parameter\n(" +
                                tensor(2, numbers({1}), numbers({1})) +
                                "\x88"
                                "ccollections\nOrderedDict\n)RtR";
  EXPECT_EQ(read(archive(dict(parameter))).tensors.at("w").shape(), Shape{1});
}

TEST(TorchArchive, ReadsZip64) {
  const FileTensors read64 = read(archive(dict(tensor(0, numbers({6}), numbers({1}))), {.zip64 = true}));
  EXPECT_EQ(read64.tensors.at("w").elements(), 6);
}

// A few bytes name again what stands in the pickle once, and each time would be a copy of it.
TEST(TorchArchive, WhatIsNamedOftenStaysSmall) {
  const std::string one = tensor(0, numbers({6}), numbers({1})) + "q\1";
  const auto named = [&](size_t bytes, int times) {
    std::string entries = text(std::string(bytes, 'n')) + "q\2" + one;
    for (int i = 1; i < times; ++i) entries += "h\2h\1";
    return archive_failure(archive("\x80\x02}(" + entries + "u."));
  };
  EXPECT_EQ(named(1024, 1), "no error");
  EXPECT_THAT(named(1025, 2), HasSubstr("not a short text"));
  EXPECT_THAT(named(1, 100'001), HasSubstr("too many tensors"));
  std::string rebuilt = tensor(0, numbers({6}), numbers({1}));
  rebuilt = rebuilt.replace(rebuilt.find(text("0")), text("0").size(), text(std::string(1025, '0')));
  EXPECT_THAT(archive_failure(archive(dict(rebuilt))), HasSubstr("is not a storage"));
}

// `pickle.dumps` returns this for an object whose __reduce__ returns (os.system, ("...",)).
TEST(TorchArchive, NeverExecutesWhatAPickleNames) {
  const std::string attack =
      "\x80\x02"
      "cposix\nsystem\nX" +
      little(4, 4) + "true\x85R.";
  EXPECT_THAT(archive_failure(archive(attack)), HasSubstr("the pickle names posix.system"));
  EXPECT_THAT(archive_failure(archive("\x80\x04\x8c\x05posix\x8c\x06system\x93.")),
              HasSubstr("names posix.system"));
  EXPECT_THAT(archive_failure(archive("\x80\x02"
                                      "cbuiltins\neval\n" +
                                      text("1") + "\x85R.")),
              HasSubstr("names builtins.eval"));
  EXPECT_THAT(archive_failure(archive("(S'true'\nios\nsystem\n.")), HasSubstr("opcode"));
  EXPECT_THAT(archive_failure(archive("\x80\x02"
                                      "ctorch\nFloatStorage\n)\x81.")),
              HasSubstr("opcode"));
  EXPECT_THAT(archive_failure(archive("\x80\x02"
                                      "ctorch\nFloatStorage\n)R.")),
              HasSubstr("storage type"));
}

TEST(TorchArchive, RefusesBrokenPickles) {
  EXPECT_THAT(archive_failure(archive("")), HasSubstr("ends too early"));
  EXPECT_THAT(archive_failure(archive("\x80\x02")), HasSubstr("ends too early"));
  EXPECT_THAT(archive_failure(archive(".")), HasSubstr("empty stack"));
  EXPECT_THAT(archive_failure(archive("u.")), HasSubstr("empty stack"));
  EXPECT_THAT(archive_failure(archive("h\x05.")), HasSubstr("memo"));
  EXPECT_THAT(archive_failure(archive("X\xff\xff\xff\xff.")), HasSubstr("ends too early"));
  EXPECT_THAT(archive_failure(archive("}(K\x01u.")), HasSubstr("not a dict"));
  EXPECT_THAT(archive_failure(archive("].")), HasSubstr("not a dict of tensors"));
  EXPECT_THAT(archive_failure(archive(dict(number(7)))), HasSubstr("'w' is not a tensor"));
  EXPECT_THAT(archive_failure(archive(std::string(3'000'000, '('))), HasSubstr("too many values"));
  EXPECT_THAT(archive_failure(archive("c" + std::string(5000, 'a'))), HasSubstr("ends too early"));
}

TEST(TorchArchive, RefusesTensorsOutsideTheirStorage) {
  const auto failure = [](int64_t offset, const std::string& sizes, const std::string& strides,
                          int64_t elements = 6) {
    return archive_failure(archive(dict(tensor(offset, sizes, strides, elements))));
  };
  EXPECT_EQ(failure(0, numbers({6}), numbers({1})), "no error");
  EXPECT_THAT(failure(1, numbers({6}), numbers({1})), HasSubstr("tensor w reaches beyond"));
  EXPECT_THAT(failure(-1, numbers({1}), numbers({1})), HasSubstr("reaches beyond"));
  EXPECT_THAT(failure(0, numbers({2}), numbers({6})), HasSubstr("reaches beyond"));
  EXPECT_THAT(failure(0, numbers({2}), numbers({-1})), HasSubstr("absurd strides"));
  EXPECT_THAT(failure(0, numbers({-2}), numbers({1})), HasSubstr("negative size"));
  EXPECT_THAT(failure(0, numbers({7}), numbers({0})), HasSubstr("repeats its elements"));
  EXPECT_THAT(failure(0, numbers({2}), numbers({1, 1})), HasSubstr("strides"));
  EXPECT_THAT(failure(0, numbers({6}), numbers({1}), 7), HasSubstr("its storage has 24 bytes"));
  EXPECT_THAT(failure(0, numbers({2147483647, 2147483647, 2147483647}), numbers({1, 1, 1})),
              HasSubstr("absurd"));
}

TEST(TorchArchive, RefusesLyingZips) {
  const std::string pickle = dict(tensor(0, numbers({6}), numbers({1})));
  EXPECT_EQ(archive_failure(archive(pickle)), "no error");
  EXPECT_THAT(archive_failure("PK"), HasSubstr("no zip archive"));
  EXPECT_THAT(archive_failure(std::string(100, 'x')), HasSubstr("no zip archive"));
  EXPECT_THAT(archive_failure(archive(pickle, {.method = 8})), HasSubstr("compressed"));
  EXPECT_THAT(archive_failure(archive(pickle, {.size_lie = 100000})), HasSubstr("points outside"));
  EXPECT_THAT(archive_failure(archive(pickle, {.size_lie = 20})), HasSubstr("model.bin"));
  EXPECT_THAT(archive_failure(archive(pickle, {.place_lie = 1u << 30})), HasSubstr("points outside"));
  EXPECT_THAT(archive_failure(archive(pickle, {.place_lie = ~uint64_t{0} - 4, .zip64 = true})),
              HasSubstr("points outside"));
  EXPECT_THAT(archive_failure(archive(pickle, {.place_lie = 1})), HasSubstr("no local header"));
  EXPECT_THAT(archive_failure(zip({{"a/data.pkl", pickle}, {"a/data.pkl", pickle}})), HasSubstr("twice"));
  EXPECT_THAT(archive_failure(zip({{"a/data.pkl", pickle}})), HasSubstr("which is not there"));
  EXPECT_THAT(archive_failure(zip({{"x", "y"}})), HasSubstr("no data.pkl"));
  EXPECT_THAT(archive_failure(zip({{"a/data.pkl", pickle}, {"a/byteorder", "big"}})),
              HasSubstr("byte order"));
}

// Every prefix of a good archive, and the archive with any one byte changed, reads or fails with an Error.
TEST(TorchArchive, SurvivesTruncationAndChangedBytes) {
  const std::string good = archive(dict(tensor(0, numbers({2, 3}), numbers({3, 1}))));
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(archive_failure(good.substr(0, size)), "no error");
  for (size_t i = 0; i < good.size(); ++i) {
    for (const int change : {1, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      archive_failure(bad);
    }
  }
}

}  // namespace
}  // namespace uhd
