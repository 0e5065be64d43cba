package embedded

const victimDir = "WEIR_TEST_VICTIM_DIR"

func beVictim(string) {}
