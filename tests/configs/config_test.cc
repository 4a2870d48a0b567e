#include "configs/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "configs/settings.h"

namespace uhd {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& yaml, const SettingValues& given = {}) {
  try {
    parse_config(yaml, "c.yaml", given);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Config, DefaultsAreLoopbackAndSingle) {
  const ServerConfig c = parse_config("", "c.yaml", {});
  EXPECT_EQ(c.net.host, "127.0.0.1");
  EXPECT_EQ(c.net.port, 8080);
  EXPECT_EQ(c.cluster.tensor_parallel, 1);
  EXPECT_EQ(c.cluster.encoder_count, 0);
}

TEST(Config, TheEnvironmentComesBetweenFileAndArguments) {
  const std::string yaml = "net: {port: 81, max_choices: 3}";
  const std::vector<std::string> variables = {"UHD_NET_PORT=82", "UHD_MODEL_NAME=a=b", "UHD_E2E_STATE=/tmp",
                                              "UHD_NET_PORTS", "HOME=/root"};
  ServerConfig c = parse_config(yaml, "c.yaml", {}, variables);
  EXPECT_EQ(c.net.port, 82);
  EXPECT_EQ(c.net.max_choices, 3);
  EXPECT_EQ(c.engine.model_name, "a=b");
  c = parse_config(yaml, "c.yaml", {{"net.port", "83"}}, variables);
  EXPECT_EQ(c.net.port, 83);
}

TEST(Config, AVariableThatMeansNoSettingIsAnError) {
  const auto error = [](const std::string& variable) -> std::string {
    try {
      parse_config("", "c.yaml", {}, {variable});
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_THAT(error("UHD_NET_PRT=82"), HasSubstr("UHD_NET_PRT names no setting; did you mean UHD_NET_PORT?"));
  EXPECT_THAT(error("UHD_NET_PORT=many"), HasSubstr("UHD_NET_PORT must be a whole number from 0 to 65535"));
}

TEST(Config, ReadsEveryTypeFromTheFile) {
  const ServerConfig c = parse_config(
      "model: {path: a/b, name: '7'}\nnet:\n  port: 81\n  idle_timeout_s: 1.5\n  max_body_bytes: 2MiB\n"
      "engine:\n  share_caches: true\n  seed: 18446744073709551615\nimage: {prescale_longest: -1, max_bytes: "
      "77, max_images: 3}\nlog:\n",
      "c.yaml", {});
  EXPECT_EQ(c.engine.model_path, "a/b");
  EXPECT_EQ(c.engine.model_name, "7");
  EXPECT_EQ(c.net.port, 81);
  EXPECT_EQ(c.net.idle_timeout_s, 1.5);
  EXPECT_EQ(c.net.max_body_bytes, 2 << 20);
  EXPECT_TRUE(c.engine.share_caches);
  EXPECT_EQ(c.engine.seed, UINT64_MAX);
  EXPECT_EQ(c.net.max_image_bytes, 77) << "the limits of images hold at the door too";
  EXPECT_EQ(c.net.max_images, 3);
}

TEST(Config, ArgumentsWinOverTheFile) {
  const ServerConfig c = parse_config("net: {port: 81}", "c.yaml",
                                      {{"net.port", "82"}, {"model.name", "x=y"}, {"log.level", "debug"}});
  EXPECT_EQ(c.net.port, 82);
  EXPECT_EQ(c.engine.model_name, "x=y");
  EXPECT_EQ(c.log.level, "debug");
}

TEST(Config, UnknownKeysNameFileLineAndTheNearestKey) {
  EXPECT_EQ(error_of("model:\n  path: x\nnet:\n  prot: 1\n"),
            "c.yaml:4: unknown key net.prot; did you mean net.port?");
  EXPECT_EQ(error_of("\nnett:\n  port: 1\n"), "c.yaml:2: unknown section nett; did you mean net?");
  EXPECT_EQ(error_of("", {{"llm.tensor_paralel", "2"}}),
            "--llm.tensor_paralel: unknown setting; did you mean --llm.tensor_parallel?");
}

TEST(Config, WrongTypesNameFileLineAndWhatIsWanted) {
  EXPECT_EQ(error_of("net:\n  port: abc"),
            "c.yaml:2: net.port must be a whole number from 0 to 65535, not \"abc\"");
  EXPECT_THAT(error_of("net:\n  port: '81'"), HasSubstr("c.yaml:2: net.port"));
  EXPECT_THAT(error_of("net:\n  port: 1.5"), HasSubstr("c.yaml:2: net.port"));
  EXPECT_THAT(error_of("net:\n  port:"), HasSubstr("not nothing"));
  EXPECT_THAT(error_of("net:\n  port: [1]"), HasSubstr("not a list"));
  EXPECT_THAT(error_of("net:\n  host: {a: 1}"), HasSubstr("not a section"));
  EXPECT_THAT(error_of("net: 5"), HasSubstr("c.yaml:1: net is a section"));
  EXPECT_THAT(error_of("- net"), HasSubstr("c.yaml:1: sections"));
  EXPECT_THAT(error_of("engine:\n  share_caches: yes"), HasSubstr("true or false"));
  EXPECT_THAT(error_of("log: {level: loud}"), HasSubstr("one of debug, info, warning, error"));
}

TEST(Config, NumbersHaveRanges) {
  for (const char* value : {"-1", "65536", "1e9", "99999999999999999999", "nan", "0x10", "1 "}) {
    EXPECT_THAT(error_of("", {{"net.port", value}}), HasSubstr("from 0 to 65535")) << value;
  }
  for (const char* value : {"nan", "inf", "-1", "1e300", ""}) {
    EXPECT_THAT(error_of("", {{"net.idle_timeout_s", value}}), HasSubstr("a number from")) << value;
  }
  EXPECT_THAT(error_of("", {{"net.max_body_bytes", "999999GiB"}}), HasSubstr("a whole number from 1 to"));
  EXPECT_THAT(error_of("", {{"net.port", "1KiB"}}), HasSubstr("from 0 to 65535")) << "only sizes have units";
}

TEST(Config, MistakesOfFormAreClear) {
  EXPECT_THAT(error_of("net: {port: 1"), HasSubstr("c.yaml:"));
  EXPECT_EQ(error_of("net:\n  port: 1\n  port: 2\n"), "c.yaml:3: net.port is given twice");
  EXPECT_THROW(load_config("/does/not/exist.yaml", {}), Error);
  EXPECT_THROW(load_config("/tmp", {}), Error);
}

TEST(Config, PrintsWhatReadsBackTheSame) {
  const ServerConfig c =
      parse_config("model: {name: 'a: \"b\" #c'}\nnet: {idle_timeout_s: 0.125}", "c.yaml", {});
  const std::string printed = print_config(c);
  EXPECT_EQ(print_config(parse_config(printed, "printed", {})), printed);
  EXPECT_EQ(print_config(parse_config(config_json(c), "printed", {})), printed);
  EXPECT_EQ(parse_config(printed, "printed", {}).engine.model_name, "a: \"b\" #c");
}

TEST(Config, EveryDefaultIsInItsRange) {
  ServerConfig c;
  for (const Setting& s : settings_of(c)) {
    EXPECT_TRUE(s.set(s.text())) << s.name;
    EXPECT_FALSE(s.help.empty()) << s.name;
  }
}

TEST(Config, TheFilesOfTheRepositoryAreGood) {
  for (const char* name : {"single", "tp2-enc2", "multinode", "llava-uhd-13b"}) {
    EXPECT_NO_THROW(load_config(std::string("configs/") + name + ".yaml", {})) << name;
  }
  EXPECT_EQ(load_config("configs/tp2-enc2.yaml", {}).cluster.encoder_count, 2);
}

}  // namespace
}  // namespace uhd
