# what=1
# escape=`
FROM a
