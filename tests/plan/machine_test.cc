#include "plan/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace uhd {
namespace {

using testing::HasSubstr;

const std::string kWhole =
    "name: B1\nbf16_tflops: 2250\nmemory_gb_s: 8e3\nmemory_gb: 180.5\nlink_gb_s: 900\n"
    "multiprocessors: 148\n";

std::string error_of(const std::string& yaml) {
  try {
    parse_machine(yaml, "m.yaml");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// The whole with one line in another's place; "" drops it.
std::string with(const std::string& field, const std::string& line) {
  std::string yaml = kWhole;
  const size_t at = yaml.find(field + ":");
  yaml.replace(at, yaml.find('\n', at) + 1 - at, line.empty() ? "" : line + "\n");
  return yaml;
}

TEST(Machine, IsReadFieldByField) {
  const Machine m = parse_machine(kWhole, "m.yaml");
  EXPECT_EQ(m.name, "B1");
  EXPECT_FALSE(m.host);
  EXPECT_TRUE(parse_machine(kWhole + "host: true\n", "m.yaml").host);
  EXPECT_EQ(m.bf16_tflops, 2250);
  EXPECT_EQ(m.memory_gb_s, 8000);
  EXPECT_EQ(m.memory_gb, 180.5);
  EXPECT_EQ(m.link_gb_s, 900);
  EXPECT_EQ(m.multiprocessors, 148);
}

TEST(Machine, ExampleIsOne) { EXPECT_EQ(load_machine("configs/machines/example.yaml").name, "H100 PCIe"); }

TEST(Machine, MissingFieldsAreNamed) {
  for (const char* field :
       {"name", "bf16_tflops", "memory_gb_s", "memory_gb", "link_gb_s", "multiprocessors"}) {
    EXPECT_THAT(error_of(with(field, "")), HasSubstr(std::string("m.yaml: ") + field + " is missing"));
  }
  EXPECT_THAT(error_of(""), HasSubstr("name is missing"));
}

TEST(Machine, WrongValuesAreNamedWithFileAndLine) {
  for (const char* value :
       {"0", "-1", "nan", "inf", "1e400", "1e7", "80GB", "'80'", "[80]", "{a: 80}", "", "0x50", "true"}) {
    EXPECT_THAT(error_of(with("memory_gb", std::string("memory_gb: ") + value)),
                HasSubstr(": memory_gb must be a number"))
        << value;
  }
  EXPECT_THAT(error_of(with("memory_gb", "memory_gb: all")), HasSubstr("m.yaml:4: memory_gb"));
  EXPECT_THAT(error_of(with("multiprocessors", "multiprocessors: 1.5")),
              HasSubstr("multiprocessors must be a whole number"));
  EXPECT_THAT(error_of(with("multiprocessors", "multiprocessors: 99999999999999999999")),
              HasSubstr("multiprocessors must be"));
  EXPECT_THAT(error_of(with("name", "name: \"a\\nb\"")), HasSubstr("name must be"));
  EXPECT_THAT(error_of(with("name", "name: " + std::string(65, 'x'))), HasSubstr("name must be"));
}

TEST(Machine, UnknownAndRepeatedFieldsAreNamed) {
  EXPECT_THAT(error_of(kWhole + "memory: 80\n"),
              HasSubstr("m.yaml:7: unknown key memory; did you mean memory_gb?"));
  EXPECT_THAT(error_of(kWhole + "name: B2\n"), HasSubstr("m.yaml:7: name is given twice"));
}

TEST(Machine, TextThatIsNoMachineIsRefused) {
  for (const std::string& yaml : {std::string("80"), std::string("- name: x"), std::string("a: [b"),
                                  std::string("\t: x"), std::string("&a [*a]"), std::string("? [1, 2]\n: 3"),
                                  std::string(100000, '['), std::string(5, '\0')}) {
    EXPECT_THAT(error_of(yaml), HasSubstr("m.yaml")) << yaml.substr(0, 40);
  }
  EXPECT_THROW(load_machine("configs/machines/none.yaml"), Error);
  EXPECT_THROW(load_machine("configs"), Error);
}

}  // namespace
}  // namespace uhd
