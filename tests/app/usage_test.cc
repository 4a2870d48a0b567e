// Tests how the program is called: options, settings as options, what it says of mistakes, and its exit
// status.
#include <boost/json.hpp>

#include "configs/settings.h"
#include "tests/app/command_fixture.h"

namespace uhd {
namespace {

class Usage : public Command {
 protected:
  Usage() : Command("") {}

  // Runs the program with wrong arguments, and returns the first line that it says.
  std::string complaint(const std::string& arguments) {
    const std::string output = run(arguments);
    EXPECT_EQ(status(), 2) << arguments << ": " << output;
    EXPECT_NE(output.find(" --help lists what there is.\n"), std::string::npos) << output;
    return output.substr(0, output.find('\n'));
  }
};

TEST_F(Usage, AMistypedOptionIsToldWithTheNearestOfItsCommand) {
  EXPECT_EQ(complaint("generate --imge x.png"), "uhd: --imge: unknown option; did you mean --image?");
  EXPECT_EQ(complaint("slices --max-slice 3 x.png"),
            "uhd: --max-slice: unknown option; did you mean --max-slices?");
  EXPECT_EQ(complaint("serve --net.prt=3"), "uhd: --net.prt: unknown option; did you mean --net.port?");
  EXPECT_EQ(complaint("serve --port 81"), "uhd: --port: unknown option; did you mean --net.port?");
  EXPECT_EQ(complaint("serve --model x"), "uhd: --model: unknown option; did you mean --model.path?");
  EXPECT_EQ(complaint("slices --net.port=3 x.png"), "uhd: --net.port: unknown option");
  EXPECT_EQ(complaint("--foo"), "uhd: --foo: unknown option");
}

TEST_F(Usage, AMistypedCommandIsToldWithTheNearest) {
  EXPECT_EQ(complaint("serv"), "uhd: there is no command 'serv'; did you mean serve?");
  EXPECT_EQ(complaint("bogus").find("uhd: there is no command 'bogus'; there are serve, generate"), 0u);
  EXPECT_EQ(complaint("").find("uhd: say a command: serve, generate"), 0u);
}

TEST_F(Usage, WrongValuesAndSettingsHaveOneStatus) {
  EXPECT_EQ(complaint("serve --net.port=abc"),
            "uhd: --net.port: must be a whole number from 0 to 65535, not \"abc\"");
  EXPECT_EQ(complaint("serve --net.port"), "uhd: --net.port: a value is missing");
  EXPECT_EQ(complaint("serve --config a --config b").find("uhd: --config: a value is missing"),
            std::string::npos);
  EXPECT_EQ(complaint("serve port"), "uhd: unexpected argument 'port'");
  EXPECT_EQ(complaint("serve --config /no/such.yaml"), "uhd: there is no config file /no/such.yaml");
  EXPECT_EQ(complaint("serve --config " + write("c.yaml", "net:\n  port: x\n")),
            "uhd: c.yaml:2: net.port must be a whole number from 0 to 65535, not \"x\"");
  EXPECT_EQ(complaint("serve").find("uhd: model.path: say which checkpoint to serve"), 0u);
  EXPECT_EQ(complaint("generate q --raw --model x -i " + write("a.png", "x")),
            "uhd: --raw takes no images: a raw prompt has no place for them");
  run("slices " + write("notes.txt", "hello"));
  EXPECT_EQ(status(), 1) << "nothing is wrong with how it was called";
}

TEST_F(Usage, EverySettingIsAnOptionInTheGroupOfItsSection) {
  const std::string help = run("serve --help");
  EXPECT_EQ(status(), 0);
  ServerConfig config;
  for (const Setting& setting : settings_of(config)) {
    const size_t group = help.find("\nSettings of " + section_of(setting.name) + ":\n");
    ASSERT_NE(group, std::string::npos) << setting.name;
    const size_t option = help.find("\n  --" + setting.name + " ");
    ASSERT_NE(option, std::string::npos) << setting.name;
    EXPECT_EQ(help.rfind("\nSettings of ", option), group) << setting.name;
  }
}

TEST_F(Usage, TheLastOfAnOptionHoldsAndItsValueMayBeEmpty) {
  const std::string printed =
      run("serve --net.port=81 --net.port 82 --model.name=a=b --model.cache_dir=/x --model.cache_dir= "
          "--log.level=debug --print-config");
  EXPECT_EQ(status(), 0) << printed;
  for (const char* line :
       {"  port: 82\n", "  name: \"a=b\"\n", "  cache_dir: \"\"\n", "  level: \"debug\"\n"}) {
    EXPECT_NE(printed.find(line), std::string::npos) << line << printed;
  }
}

TEST_F(Usage, SettingsAreOneObjectForPrograms) {
  for (const char* command : {"serve", "generate q", "tokenize", "batch requests.jsonl --out o"}) {
    write("requests.jsonl", "");
    const std::string printed =
        run(command + std::string(" --net.port=81 --engine.seed=18446744073709551615 --print-config --json"));
    ASSERT_EQ(status(), 0) << printed;
    const boost::json::value told = boost::json::parse(printed);
    EXPECT_EQ(told.at("net").at("port"), 81) << command;
    EXPECT_EQ(told.at("engine").at("seed"), UINT64_MAX);
    EXPECT_EQ(told.at("model").at("dtype"), "auto");
    EXPECT_EQ(told.at("engine").at("prefix_cache"), true);
  }
  EXPECT_EQ(complaint("serve --json"), "uhd: --json requires --print-config");
}

}  // namespace
}  // namespace uhd
